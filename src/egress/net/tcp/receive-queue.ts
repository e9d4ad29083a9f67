/**
 * What the guest sent in order and nobody has read yet, in few, well filled buffers however small its segments are. All
 * memory is accounted to the shared budget, also what is in a reader's hands until it asks for more.
 */
import type { MemoryBudget } from "../memory-budget.ts";

/** Pieces below this are gathered: each buffer of its own costs more than it holds. */
const SMALL_PIECE_BYTES = 16 * 1024;
const MIN_GATHER_BYTES = 512;
const MAX_GATHER_BYTES = 32 * 1024;
/** An ArrayBuffer, its Buffer and its place in the queue, about. */
export const BUFFER_OVERHEAD_BYTES = 256;
/** The rest of the budget is for data that its reader is waiting for, so that stuck flows cannot stop the others. */
const QUEUE_SHARE = 7 / 8;

export class ReceiveQueue {
  readonly #budget: MemoryBudget;
  #queue: Buffer[] = [];
  /** The newest bytes, behind the queue, and how much of the buffer they fill. */
  #gather: Buffer | undefined;
  #gatheredBytes = 0;
  #bytes = 0;
  #takenBytes = 0;
  /** Of `#takenBytes`, what the reader has and has not finished with. */
  #lentBytes = 0;
  #lentPayload = 0;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  /** Received and not consumed: what the window is smaller by. */
  get bytes(): number {
    return this.#bytes + this.#lentPayload;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  /** Copies; false if there is no memory, and then nothing was kept. */
  append(bytes: Buffer, begin: number, end: number): boolean {
    const length = end - begin;
    if (length < SMALL_PIECE_BYTES) return this.#appendSmall(bytes, begin, end);
    if (!this.#take(length + BUFFER_OVERHEAD_BYTES)) return false;
    this.#seal();
    this.#queue.push(copyOf(bytes, begin, end));
    this.#bytes += length;
    return true;
  }

  /** For a reader that waits while nothing is queued; undefined if there is no memory. */
  lend(bytes: Buffer, begin: number, end: number): Buffer | undefined {
    const cost = end - begin + BUFFER_OVERHEAD_BYTES;
    if (!this.#budget.take(cost)) return undefined;
    this.#takenBytes += cost;
    this.#lentBytes += cost;
    this.#lentPayload += end - begin;
    return copyOf(bytes, begin, end);
  }

  /** The oldest buffer, lent. */
  shift(): Buffer | undefined {
    if (this.#queue.length === 0) this.#seal();
    const buffer = this.#queue.shift();
    if (buffer === undefined) return undefined;
    this.#bytes -= buffer.length;
    this.#lentPayload += buffer.length;
    this.#lentBytes += costOf(buffer);
    return buffer;
  }

  /** The reader has finished with all that was lent to it. */
  settle(): void {
    this.#budget.give(this.#lentBytes);
    this.#takenBytes -= this.#lentBytes;
    this.#lentBytes = 0;
    this.#lentPayload = 0;
  }

  /** Nobody will read it. */
  clear(): void {
    this.#queue = [];
    this.#gather = undefined;
    this.#bytes = 0;
    this.#budget.give(this.#takenBytes);
    this.#takenBytes = 0;
    this.#lentBytes = 0;
    this.#lentPayload = 0;
  }

  #appendSmall(bytes: Buffer, begin: number, end: number): boolean {
    const room = this.#gather === undefined ? 0 : this.#gather.length - this.#gatheredBytes;
    if (end - begin > room) {
      const size = Math.max(this.#nextGatherBytes(), end - begin - room);
      if (!this.#take(size + BUFFER_OVERHEAD_BYTES)) return false;
      if (room > 0) this.#fill(bytes, begin, begin + room);
      this.#seal();
      this.#gather = Buffer.allocUnsafeSlow(size);
      this.#gatheredBytes = 0;
      begin += room;
    }
    this.#fill(bytes, begin, end);
    return true;
  }

  #fill(bytes: Buffer, begin: number, end: number): void {
    if (this.#gather === undefined) return;
    bytes.copy(this.#gather, this.#gatheredBytes, begin, end);
    this.#gatheredBytes += end - begin;
    this.#bytes += end - begin;
  }

  /** Starts small: thousands of flows may hold a few bytes each. */
  #nextGatherBytes(): number {
    const last = this.#gather?.length ?? 0;
    return Math.min(MAX_GATHER_BYTES, Math.max(MIN_GATHER_BYTES, last * 2));
  }

  #take(cost: number): boolean {
    if (!this.#budget.take(cost, this.#budget.limitBytes * QUEUE_SHARE)) return false;
    this.#takenBytes += cost;
    return true;
  }

  /** Moves what was gathered to the queue. */
  #seal(): void {
    if (this.#gather === undefined) return;
    this.#queue.push(this.#gather.subarray(0, this.#gatheredBytes));
    this.#gather = undefined;
  }
}

function copyOf(bytes: Buffer, begin: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - begin);
  bytes.copy(copy, 0, begin, end);
  return copy;
}

function costOf(buffer: Buffer): number {
  return buffer.buffer.byteLength + BUFFER_OVERHEAD_BYTES;
}
