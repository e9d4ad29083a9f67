/** What the parts of TCP share: the stack's resources, and the few things that one part asks of another. */
import type { NetCounters } from "../counters.ts";
import type { IpOutput } from "../ip-output.ts";
import type { NetLimits } from "../limits.ts";
import type { LinkWriter } from "../link-writer.ts";
import type { MemoryBudget } from "../memory-budget.ts";
import type { Connection } from "./connection.ts";

export interface TcpContext {
  readonly limits: NetLimits;
  readonly counters: NetCounters;
  readonly output: IpOutput;
  readonly link: LinkWriter;
  readonly receiveBudget: MemoryBudget;
  readonly sendBudget: MemoryBudget;
  /** Time of what is being worked off, `ms`. */
  readonly now: number;
  /** When the guest last sent anything at all: a guest that is paused is not to blame for its silence. */
  readonly lastFrameAt: number;
  /** It has something to send. */
  schedule(connection: Connection): void;
  /** Its deadlines have changed. */
  arm(connection: Connection): void;
  /** Ends it at once: with RST, and with an error for its stream if there is one. */
  abort(connection: Connection, error?: Error): void;
  /** It has reached TIME_WAIT. */
  enterTimeWait(connection: Connection): void;
  /** Takes it out of the table: nothing more is sent or received. */
  remove(connection: Connection): void;
  /** Its stream is destroyed, or it never had one: it no longer counts if it is over. */
  release(connection: Connection): void;
}

export type FlowErrorCode = "ECONNREFUSED" | "ECONNRESET" | "ETIMEDOUT" | "ECANCELED";

/** How a flow's stream fails. */
export class FlowError extends Error {
  override readonly name = "FlowError";
  readonly code: FlowErrorCode;
  constructor(code: FlowErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
