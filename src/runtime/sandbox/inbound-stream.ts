/**
 * A stream of bytes from the server, with what of it waits for its consumer. With credits the server may have 1 MiB
 * under way, and one that sends more is cut off; without them (the published protocol) the connection as a whole is
 * paused when too much waits.
 */
import { encodeError, type SerializedError } from "../../protocol/rpc-error.ts";
import { STREAM_WINDOW_BYTES } from "../../protocol/rpc-limits.ts";
import { MessageError, type StreamNotification } from "../../protocol/rpc-messages.ts";

/** Where the bytes go: the Node stream on top. */
export interface InboundSink {
  /** Returns false when no more is wanted until the next `pull`. */
  push(chunk: Buffer): boolean;
  end(): void;
  fail(error: Error): void;
}

/** What an inbound stream needs of its connection. */
export interface InboundPort {
  readonly hasCredits: boolean;
  notify(notification: StreamNotification): void;
  /** The stream is over: its id means nothing any longer. */
  forget(stream: InboundStream): void;
  /** Bytes that came to wait, or (negative) that no longer do. */
  queued(bytes: number): void;
}

/** Credit goes out in pieces of this size, so that it costs one small message in four frames. */
const CREDIT_STEP_BYTES = STREAM_WINDOW_BYTES / 4;
/** Chunks below this size are put together when many wait: an object a byte would cost a hundred times its size. */
const SMALL_CHUNK_BYTES = 1024;
const SMALL_CHUNKS = 128;

export class InboundStream {
  readonly id: number;
  /** Settles when the last byte was received, or none will come. Never rejects. */
  readonly received: Promise<void>;
  readonly #port: InboundPort;
  readonly #settleReceived: () => void;
  #sink: InboundSink | undefined;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #trailingSmall = 0;
  #isWanted = false;
  #isFlushing = false;
  #state: "open" | "ended" | "failed" | "over" = "open";
  #error: Error | undefined;
  /** What the server may still send, and what was consumed but not yet granted again. */
  #allowanceBytes = STREAM_WINDOW_BYTES;
  #creditStepBytes = CREDIT_STEP_BYTES;
  #ungrantedBytes = 0;
  /** Whether the server has announced the stream. */
  isStarted = false;

  constructor(id: number, port: InboundPort) {
    this.id = id;
    this.#port = port;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.received = promise;
    this.#settleReceived = resolve;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** The server was asked to keep to a smaller window: credit goes out in smaller steps. */
  narrow(windowBytes: number): void {
    this.#creditStepBytes = windowBytes / 4;
  }

  /** Connects the consumer; what came before waits for its first `pull`. */
  attach(sink: InboundSink): void {
    this.#sink = sink;
  }

  /** @throws MessageError if the server sends beyond what it was granted */
  receive(parts: readonly Buffer[], totalBytes: number): void {
    if (this.#state !== "open") return;
    if (this.#port.hasCredits) {
      this.#allowanceBytes -= totalBytes;
      if (this.#allowanceBytes < 0) throw new MessageError(`stream ${this.id} exceeds its window`);
    }
    for (const part of parts) {
      if (part.length > 0) this.#deliver(part);
    }
  }

  /** The server has sent everything. */
  finish(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#settleReceived();
    this.#flush();
  }

  /** The server, or the connection, gave up. What waits is still delivered first. */
  fail(error: Error): void {
    if (this.#state !== "open") return;
    this.#state = "failed";
    this.#error = error;
    this.#settleReceived();
    this.#flush();
  }

  /** The consumer has room. */
  pull(): void {
    this.#isWanted = true;
    this.#flush();
  }

  /** The consumer wants no more. */
  cancel(reason: Error | null): void {
    const wasOpen = this.#state === "open";
    if (this.#state === "over") return;
    this.#dropQueue();
    if (wasOpen) this.#port.notify({ method: "$sandbox.stream.cancel", streamId: this.id, reason: reasonOf(reason) });
    this.#settleReceived();
    this.#finishUp();
  }

  #deliver(chunk: Buffer): void {
    if (this.#isWanted && this.#queue.length === 0 && this.#sink !== undefined) {
      this.#hand(this.#sink, chunk);
      return;
    }
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    this.#port.queued(chunk.length);
    this.#compact(chunk);
  }

  #compact(chunk: Buffer): void {
    this.#trailingSmall = chunk.length < SMALL_CHUNK_BYTES ? this.#trailingSmall + 1 : 0;
    if (this.#trailingSmall < SMALL_CHUNKS) return;
    const small = this.#queue.splice(-SMALL_CHUNKS);
    this.#queue.push(Buffer.concat(small));
    this.#trailingSmall = 0;
  }

  /** The consumer may pull or cancel while it is being handed a chunk: only the outermost call works. */
  #flush(): void {
    const sink = this.#sink;
    if (sink === undefined || this.#isFlushing) return;
    this.#isFlushing = true;
    let taken = 0;
    while (this.#isWanted && taken < this.#queue.length) {
      const chunk = this.#queue[taken++];
      if (chunk === undefined) break;
      this.#queuedBytes -= chunk.length;
      this.#port.queued(-chunk.length);
      this.#hand(sink, chunk);
    }
    this.#queue.splice(0, taken);
    this.#trailingSmall = Math.min(this.#trailingSmall, this.#queue.length);
    this.#isFlushing = false;
    if (this.#queue.length === 0 && (this.#state === "ended" || this.#state === "failed")) this.#conclude(sink);
  }

  #conclude(sink: InboundSink): void {
    const error = this.#error;
    this.#finishUp();
    if (error === undefined) sink.end();
    else sink.fail(error);
  }

  #hand(sink: InboundSink, chunk: Buffer): void {
    this.#isWanted = false;
    if (sink.push(chunk)) this.#isWanted = true;
    if (!this.#port.hasCredits) return;
    this.#ungrantedBytes += chunk.length;
    if (this.#ungrantedBytes < this.#creditStepBytes || this.#state !== "open") return;
    const bytes = this.#ungrantedBytes;
    this.#ungrantedBytes = 0;
    this.#allowanceBytes += bytes;
    this.#port.notify({ method: "$sbx.stream.credit", streamId: this.id, bytes });
  }

  #dropQueue(): void {
    this.#port.queued(-this.#queuedBytes);
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  #finishUp(): void {
    this.#state = "over";
    this.#port.forget(this);
  }
}

/** The SDK's own server never meets a cancel without a reason, so there always is one. */
function reasonOf(reason: Error | null): SerializedError {
  return reason === null ? { constructorName: "Error", message: "no longer wanted" } : encodeError(reason);
}
