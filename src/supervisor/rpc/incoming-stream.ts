/**
 * One stream from a client to the server, as a Node stream. A client of the published SDK knows no flow control, so
 * everything it sends is kept here and counted by the owner; a client with the extensions is held to its window.
 */
import { Readable } from "node:stream";
import { STREAM_WINDOW_BYTES } from "../../protocol/rpc-limits.ts";
import type { SerializedError } from "../../protocol/rpc-error.ts";
import { MessageError } from "../../protocol/rpc-messages.ts";
import { CallError } from "./call-error.ts";

/** Bytes consumed after which credit is given back (extension). */
const CREDIT_STEP_BYTES = 256 * 1024;
/** What a waiting chunk costs beside its bytes: a flood of tiny ones must count for what it is. */
const CHUNK_COST_BYTES = 256;

export interface IncomingOwner {
  /** Bytes have entered the stream's buffer (positive) or left it (negative). */
  buffered(stream: IncomingStream, deltaBytes: number): void;
  /** The consumer is ready for `bytes` more (extension). */
  grant(streamId: number, bytes: number): void;
  /** Nothing more is wanted from the client; not called for a stream that the client has ended. */
  cancelled(streamId: number, reason: Error | null): void;
  /** The stream is over for both sides. */
  forget(streamId: number): void;
}

export class IncomingStream extends Readable {
  readonly streamId: number;
  /** Whether a call has named it. */
  claimed = false;
  readonly #owner: IncomingOwner;
  readonly #windowed: boolean;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #grantedBytes = STREAM_WINDOW_BYTES;
  #receivedBytes = 0;
  #owedBytes = 0;
  #wanted = false;
  /** Set when the client is done: null for its end, an error for its error. */
  #outcome: Error | null | undefined;

  constructor(streamId: number, owner: IncomingOwner, windowed: boolean) {
    super({ highWaterMark: 1 });
    this.streamId = streamId;
    this.#owner = owner;
    this.#windowed = windowed;
    // A client fails its streams when it likes. Who consumes this one is told; nobody else must die of it.
    this.on("error", () => undefined);
  }

  /** What waits here, with what it costs to keep. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** @throws MessageError if a client with the extensions exceeds its window */
  receive(bytes: Buffer): void {
    if (this.#outcome !== undefined || this.destroyed || bytes.length === 0) return;
    this.#receivedBytes += bytes.length;
    if (this.#windowed && this.#receivedBytes > this.#grantedBytes) {
      throw new MessageError(`stream ${this.streamId} exceeds its window`);
    }
    if (this.#wanted) {
      this.#deliver(bytes);
      return;
    }
    this.#queue.push(bytes);
    this.#count(bytes.length + CHUNK_COST_BYTES);
  }

  /** The client's end. */
  finish(): void {
    this.#end(null);
  }

  /** The client's error: what came before it is still delivered. */
  fail(error: SerializedError | null): void {
    this.#end(new CallError(error ?? { constructorName: "Error", message: "the client's stream failed" }));
  }

  override _read(): void {
    this.#wanted = true;
    let bytes = this.#queue.shift();
    while (bytes !== undefined) {
      this.#count(-bytes.length - CHUNK_COST_BYTES);
      if (!this.#deliver(bytes)) return;
      bytes = this.#queue.shift();
    }
    this.#conclude();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#queue = [];
    this.#count(-this.#queuedBytes);
    if (this.#outcome === undefined) this.#owner.cancelled(this.streamId, error);
    this.#owner.forget(this.streamId);
    callback(error);
  }

  #end(outcome: Error | null): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    if (this.#wanted) this.#conclude();
  }

  #conclude(): void {
    if (this.#outcome === undefined || this.destroyed) return;
    if (this.#outcome === null) this.push(null);
    else this.destroy(this.#outcome);
  }

  #deliver(bytes: Buffer): boolean {
    this.#owedBytes += bytes.length;
    if (this.#windowed && this.#owedBytes >= CREDIT_STEP_BYTES && this.#outcome === undefined) {
      this.#grantedBytes += this.#owedBytes;
      this.#owner.grant(this.streamId, this.#owedBytes);
      this.#owedBytes = 0;
    }
    this.#wanted = this.push(bytes);
    return this.#wanted;
  }

  #count(deltaBytes: number): void {
    if (deltaBytes === 0) return;
    this.#queuedBytes += deltaBytes;
    this.#owner.buffered(this, deltaBytes);
  }
}
