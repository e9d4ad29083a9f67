/**
 * The buffers that a copy's chunks are made in, used again and again. Fresh ones would count as memory outside of V8's
 * heap, and a full garbage collection every few dozen megabytes costs as much as the copy itself.
 */
import { CHUNK_BYTES } from "./copy-records.ts";

/** Free buffers that are kept: what a stream has under way, and one that is being filled. */
const MAX_FREE = 4;

export class ChunkPool {
  readonly #free: Buffer[] = [];

  /** A buffer of CHUNK_BYTES with anything in it. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
  }

  /**
   * Gives back what {@link take} gave out, or the front part of it. Nobody may look at it any more; anything else is
   * left alone.
   */
  give(chunk: Uint8Array): void {
    const { buffer } = chunk;
    if (chunk.byteOffset !== 0 || buffer.byteLength !== CHUNK_BYTES || this.#free.length >= MAX_FREE) return;
    this.#free.push(Buffer.from(buffer, 0, CHUNK_BYTES));
  }
}
