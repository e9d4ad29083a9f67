/**
 * Builds outgoing frames in a ring of fixed size and hands them to the link in one write a batch. The ring is all that
 * is ever queued: data waits in its flow while the ring is full, which is how a guest that does not take its frames
 * slows down whoever writes to it; small frames that answer the guest have a reserve, and are left out beyond it.
 */
import type { Writable } from "node:stream";
import { createFrameMemory, type FrameMemory, SUM_STEP_BYTES } from "./frame-memory.ts";
import { LENGTH_BYTES, MAX_FRAME_BYTES } from "./link-reader.ts";

const DATA_BYTES = 512 * 1024;
/** The reserve for answers, and what is lost where the ring's end is too short for a frame. */
const RING_BYTES = DATA_BYTES + 64 * 1024 + 2 * (MAX_FRAME_BYTES + LENGTH_BYTES + SUM_STEP_BYTES);

export class LinkWriter {
  readonly memory: FrameMemory = createFrameMemory(RING_BYTES);
  readonly #link: Writable;
  readonly #onRoom: () => void;
  /** Bytes of the ring in order: written and in flight from `#tail`, built from `#flushed`, free from `#head`. */
  #tail = 0;
  #flushed = 0;
  #head = 0;
  #queuedBytes = 0;
  #closed = false;

  /** @param onRoom the link has taken bytes, and data may be sent again */
  constructor(link: Writable, onRoom: () => void) {
    this.#link = link;
    this.#onRoom = onRoom;
  }

  /** Built and not yet taken by the link. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get hasRoomForData(): boolean {
    return this.#queuedBytes < DATA_BYTES && !this.#closed;
  }

  /**
   * Address in `memory` for a frame of `length` bytes, its length in front of it already; -1 if there is no room. The
   * frame must be complete before anything else is done here.
   */
  begin(length: number): number {
    if (this.#closed) return -1;
    const size = LENGTH_BYTES + length;
    if (!this.#findRoom(size + SUM_STEP_BYTES)) return -1;
    const at = this.#head;
    this.memory.bytes.writeUInt32BE(length, at);
    this.#head += size;
    this.#queuedBytes += size;
    return at + LENGTH_BYTES;
  }

  /** Hands over all that was built. */
  flush(): void {
    if (this.#flushed === this.#head || this.#closed) return;
    const begin = this.#flushed;
    const end = this.#head;
    this.#flushed = end;
    this.#link.write(this.memory.bytes.subarray(begin, end), () => this.#onWritten(end, end - begin));
  }

  close(): void {
    this.#closed = true;
  }

  #onWritten(end: number, count: number): void {
    this.#tail = end;
    this.#queuedBytes -= count;
    if (this.#queuedBytes === 0) {
      this.#tail = 0;
      this.#flushed = 0;
      this.#head = 0;
    }
    if (!this.#closed) this.#onRoom();
  }

  #findRoom(size: number): boolean {
    if (this.#head >= this.#tail) {
      if (this.#head + size <= RING_BYTES) return true;
      if (size >= this.#tail) return false;
      this.flush();
      this.#head = 0;
      this.#flushed = 0;
    }
    return this.#head + size < this.#tail;
  }
}
