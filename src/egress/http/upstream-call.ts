/** One request to an upstream and its response, whichever HTTP it speaks. What comes back is not trusted. */
import type { Readable } from "node:stream";
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";
import type { BodySink } from "./exchange.ts";

export interface UpstreamAnswer {
  head: ResponseHead;
  body: Readable | null;
  /** Complete when the body has ended. */
  trailers(): FieldLines;
}

export interface UpstreamCall {
  /** Rejects with {@link CallError} where no response came. */
  readonly answer: Promise<UpstreamAnswer>;
  readonly sink: BodySink;
  /** After the body: the request is complete. */
  finish(trailers: FieldLines): void;
  /** Ends it: RST_STREAM, or the connection is destroyed. Nothing where both sides are complete. */
  destroy(): void;
}

export interface CallOptions {
  head: RequestHead;
  hasBody: boolean;
  /** Whether the upstream is asked to say 100 before the body comes. */
  expectContinue: boolean;
  onContinue: () => void;
  onInterim: (status: number, fields: FieldLines) => void;
}

/** No response came. */
export class CallError extends Error {
  override readonly name = "CallError";
  /**
   * `refused`: the upstream says that it has not looked at the request. `stale`: it closed a connection that it had kept,
   * which is what it looks like when both ends let go at once. `failed`: it may have done anything.
   */
  readonly kind: "refused" | "stale" | "failed";

  constructor(kind: CallError["kind"], message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}
