/**
 * A stream of bytes to the server. With credits it never has more than 1 MiB under way that the server did not ask
 * for. In both cases a write is done when the system has taken all of it, so that one chunk a stream waits here.
 */
import { encodeError } from "../../protocol/rpc-error.ts";
import { BINARY_CHUNK_BYTES, PLAIN_CHUNK_BYTES, STREAM_WINDOW_BYTES } from "../../protocol/rpc-limits.ts";
import type { StreamNotification } from "../../protocol/rpc-messages.ts";

/** What an outbound stream needs of its connection. */
export interface OutboundPort {
  readonly hasCredits: boolean;
  /** @param written called when the system has taken the chunk: until then it must not change */
  sendData(streamId: number, chunk: Uint8Array, written?: () => void): void;
  notify(notification: StreamNotification): void;
  forget(stream: OutboundStream): void;
}

interface PendingWrite {
  chunk: Uint8Array;
  offset: number;
  done: (error?: Error) => void;
}

export class OutboundStream {
  readonly id: number;
  readonly #port: OutboundPort;
  readonly #chunkBytes: number;
  #windowBytes: number;
  #pending: PendingWrite | undefined;
  #isOver = false;
  /**
   * Called when the server wants no more, or the connection is gone. The write under way ends with what it returns:
   * undefined passes over that the bytes went nowhere.
   */
  onStopped: ((error: Error) => Error | undefined) | undefined;
  #stopped: Error | undefined;

  constructor(id: number, port: OutboundPort) {
    this.id = id;
    this.#port = port;
    this.#chunkBytes = port.hasCredits ? BINARY_CHUNK_BYTES : PLAIN_CHUNK_BYTES;
    this.#windowBytes = port.hasCredits ? STREAM_WINDOW_BYTES : Infinity;
  }

  /** @param done called when all of the chunk is on its way and may be changed again; one write at a time */
  write(chunk: Uint8Array, done: (error?: Error) => void): void {
    if (this.#isOver) {
      done(this.#stopped);
      return;
    }
    if (chunk.length === 0) {
      done();
      return;
    }
    this.#pending = { chunk, offset: 0, done };
    this.#advance();
  }

  end(): void {
    if (this.#isOver) return;
    this.#port.notify({ method: "$sandbox.stream.end", streamId: this.id });
    this.#finish();
  }

  /** The producer gives up. */
  fail(error: Error): void {
    if (this.#isOver) return;
    this.#port.notify({ method: "$sandbox.stream.error", streamId: this.id, error: encodeError(error) });
    this.#finish();
  }

  /** The server takes `bytes` more. */
  grant(bytes: number): void {
    this.#windowBytes += bytes;
    this.#advance();
  }

  /** The server wants no more, or is gone. */
  stop(error: Error): void {
    if (this.#isOver) return;
    const pending = this.#pending;
    this.#finish();
    this.#stopped = this.onStopped === undefined ? error : this.onStopped(error);
    pending?.done(this.#stopped);
  }

  #advance(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const { chunk } = pending;
    while (pending.offset < chunk.length) {
      const bytes = Math.min(chunk.length - pending.offset, this.#windowBytes, this.#chunkBytes);
      if (bytes <= 0) return;
      const part = chunk.subarray(pending.offset, pending.offset + bytes);
      pending.offset += bytes;
      this.#windowBytes -= bytes;
      if (pending.offset < chunk.length) this.#port.sendData(this.id, part);
      else this.#port.sendData(this.id, part, () => this.#written(pending));
    }
  }

  #written(pending: PendingWrite): void {
    if (this.#pending !== pending) return;
    this.#pending = undefined;
    pending.done();
  }

  #finish(): void {
    this.#isOver = true;
    this.#pending = undefined;
    this.#port.forget(this);
  }
}

/** What a process gets for writing into a pipe that nobody reads. */
export function brokenPipe(message = "the sandbox reads no more"): Error {
  return Object.assign(new Error(message), { code: "EPIPE" });
}
