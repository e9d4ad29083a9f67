/**
 * What was written to the guest and is not acknowledged. Large chunks are kept as they are, not copied: whoever writes
 * must not change a chunk afterwards, also when the write's callback has been called. Small ones are gathered.
 */
import type { MemoryBudget } from "../memory-budget.ts";

const SMALL_CHUNK_BYTES = 8 * 1024;
const MIN_GATHER_BYTES = 1024;
const MAX_GATHER_BYTES = 32 * 1024;

interface Chunk {
  buffer: Buffer;
  /** How much of the buffer is filled. */
  length: number;
  /** Whether more small chunks may be added. */
  gathers: boolean;
}

export class SendQueue {
  readonly #budget: MemoryBudget;
  #chunks: Chunk[] = [];
  /** Acknowledged bytes of the first chunk. */
  #headOffset = 0;
  #bytes = 0;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(data: Buffer): void {
    this.#bytes += data.length;
    if (data.length >= SMALL_CHUNK_BYTES) this.#add({ buffer: data, length: data.length, gathers: false });
    else this.#gather(data);
  }

  /** Copies `length` bytes that begin `offset` bytes behind the first unacknowledged one. */
  copyTo(target: Buffer, at: number, offset: number, length: number): void {
    let begin = this.#headOffset + offset;
    for (const chunk of this.#chunks) {
      if (begin >= chunk.length) {
        begin -= chunk.length;
        continue;
      }
      const count = Math.min(length, chunk.length - begin);
      chunk.buffer.copy(target, at, begin, begin + count);
      at += count;
      length -= count;
      begin = 0;
      if (length === 0) return;
    }
  }

  /** The first `count` bytes have been acknowledged. */
  drop(count: number): void {
    this.#bytes -= count;
    this.#headOffset += count;
    for (;;) {
      const [chunk] = this.#chunks;
      if (chunk === undefined || this.#headOffset < chunk.length) return;
      this.#headOffset -= chunk.length;
      this.#chunks.shift();
      this.#budget.give(chunk.buffer.length);
    }
  }

  clear(): void {
    for (const chunk of this.#chunks) this.#budget.give(chunk.buffer.length);
    this.#chunks = [];
    this.#headOffset = 0;
    this.#bytes = 0;
  }

  #gather(data: Buffer): void {
    let rest = data;
    const last = this.#chunks.at(-1);
    if (last?.gathers === true) {
      const copied = rest.copy(last.buffer, last.length);
      last.length += copied;
      rest = rest.subarray(copied);
    }
    if (rest.length === 0) return;
    const twice = last?.gathers === true ? last.buffer.length * 2 : 0;
    const size = Math.max(rest.length, Math.min(MAX_GATHER_BYTES, Math.max(MIN_GATHER_BYTES, twice)));
    const buffer = Buffer.allocUnsafeSlow(size);
    rest.copy(buffer);
    this.#add({ buffer, length: rest.length, gathers: true });
  }

  #add(chunk: Chunk): void {
    this.#budget.force(chunk.buffer.length);
    this.#chunks.push(chunk);
  }
}
