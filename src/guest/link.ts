/**
 * The host's end of the agent link, as the supervisor sees it. The wire is described in docs/protocol-agent.md;
 * everything that arrives through it was made by a hostile guest.
 */
import type { Readable, Writable } from "node:stream";
import type { AgentCalls, AgentEvent, AgentHello } from "../protocol/agent-calls.ts";

export interface ReadableOptions {
  /** A terminal's: little of it is to be under way, so that what was interrupted ends soon. */
  terminal?: boolean;
}

export interface AgentLink extends AsyncDisposable {
  /** What the agent said of itself. */
  readonly hello: AgentHello;
  /** The answer to the call that was made before there was a link; `undefined` if there was none. */
  readonly greeting: Promise<AgentCalls["resume"]["result"]> | undefined;
  /**
   * Calls the agent. Replies are validated before they are returned.
   *
   * @throws AgentError with the errno name the guest reported; SbxError `agent_protocol` when the link broke
   */
  call<M extends keyof AgentCalls>(
    method: M,
    params: AgentCalls[M]["params"],
    options?: { signal?: AbortSignal },
  ): Promise<AgentCalls[M]["result"]>;
  /** Claims an id for bytes that the guest will produce. Destroying the stream sends STOP. */
  openReadable(options?: ReadableOptions): GuestReadable;
  /** Claims an id for bytes that the guest will consume. Ending sends END, destroying with an error sends FAIL. */
  openWritable(): GuestWritable;
  onEvent(listener: (event: AgentEvent) => void): void;
  /**
   * Has the guest's processes stand still, and writes nothing more once the guest has read everything: the machine can
   * be copied then. What is sent meanwhile goes out with {@link attach}, which must follow in any case.
   *
   * @throws AgentError, SbxError `timeout` when the guest does not answer; the link goes on as before then
   */
  detach(): Promise<void>;
  /** @throws AgentError, SbxError `timeout` when the guest does not answer; it goes on when it can */
  attach(): Promise<void>;
  /** Settles when the link is gone; with the reason unless it was closed from this side. */
  readonly closed: Promise<Error | undefined>;
}

export interface GuestReadable extends Readable {
  readonly streamId: number;
}

export interface GuestWritable extends Writable {
  readonly streamId: number;
  /** Told each chunk when its bytes have left this process and may be changed. */
  onWritten?: ((chunk: Buffer) => void) | undefined;
}

/** A failure that the guest reported for a call. `code` is an errno name. */
export class AgentError extends Error {
  readonly code: string;
  readonly path: string | undefined;
  constructor(code: string, message: string, path?: string) {
    super(message);
    this.name = "AgentError";
    this.code = code;
    this.path = path;
  }
}
