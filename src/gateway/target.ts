/** What the gateway asks of whoever composes it. */
import type { Duplex } from "node:stream";
import type { ANONYMOUS, Subject, Trouble } from "./answers.ts";

/** One of several servers behind a URL, which is chosen anew when nothing is under way. */
export interface Seat {
  /** Every request has had its answer. */
  rest(): void;
  /** Whether the next request may go there as well; if not it is dialled anew. */
  goOn(): boolean;
}

/** A server that has a URL. */
export interface Target {
  readonly subject: Subject | typeof ANONYMOUS;
  /** Whether its sandbox stands still, so that dialling would wait. */
  isPaused(): boolean;
  /**
   * Connects. `first` is what the server is sent first; it may leave before the connection is known to stand.
   *
   * @throws {@link DialError}, or an error with the `code` ECONNREFUSED where nothing listens
   */
  dial(first: Buffer | undefined, signal: AbortSignal): Promise<Duplex>;
  /** What is to be told of a connection that `dial` returned; one server for each connection if absent. */
  readonly seatOf?: (server: Duplex) => Seat | undefined;
  /** Whether pages of other sites may open WebSockets to it; not if absent. */
  readonly takesForeignPages?: boolean;
}

/** A target that cannot be dialled, and why. `gone`: there is no such name any more, and nobody is to know that there was. */
export class DialError extends Error {
  override readonly name = "DialError";
  readonly trouble: Trouble | "gone";

  constructor(trouble: DialError["trouble"], options?: ErrorOptions) {
    super(`it cannot be dialled: ${trouble}`, options);
    this.trouble = trouble;
  }
}

/** Bounds of one gateway; what is beyond is refused. */
export interface GatewayLimits {
  /** Connections that have not said yet which URL they are for. The oldest gives way: others can open these. */
  strangers: number;
  /** Connections to targets, and to one of them. */
  guests: number;
  guestsOfTarget: number;
  /** For a whole head to arrive, `ms`. */
  headMs: number;
  /** For a connection into the guest, `ms`. */
  dialMs: number;
  /** A page of the gateway waits so long for a server, then asks again, `ms`. */
  waitMs: number;
  /** How long a client may take to hang up when all was said, `ms`. */
  lingerMs: number;
  /** A client that has shut down its sending half waits so long for a server that says nothing, `ms`. */
  halfClosedMs: number;
}

export const GATEWAY_LIMITS: GatewayLimits = {
  strangers: 128,
  guests: 256,
  guestsOfTarget: 256,
  headMs: 10_000,
  dialMs: 10_000,
  waitMs: 20_000,
  lingerMs: 5_000,
  halfClosedMs: 120_000,
};
