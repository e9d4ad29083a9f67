/**
 * Cuts what QEMU's `-netdev stream` sends into Ethernet frames: each has its length before it, 4 bytes, big-endian. The
 * frames are the guest's, byte by byte; their lengths are QEMU's, but as large as a hostile guest makes its descriptors.
 */

/** IPv4's and IPv6's largest packet behind an Ethernet header. */
export const MAX_FRAME_BYTES = 65_535 + 14;
export const LENGTH_BYTES = 4;
const SLOT_BYTES = MAX_FRAME_BYTES + LENGTH_BYTES;
/** A Unix socket holds about 200 kB: one read takes them all, and most frames come whole. */
const BUFFER_BYTES = 512 * 1024;

export interface FrameSink {
  /** The bytes may be overwritten when the call returns. */
  onFrame(bytes: Buffer, begin: number, end: number): void;
  /** A frame that no network has; it is skipped without being kept. */
  onOversized(): void;
  /** All frames of a read have been handed over. */
  onBatch(): void;
}

export class LinkReader {
  readonly #sink: FrameSink;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #begin = 0;
  #end = 0;
  #skipBytes = 0;
  #closed = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Where the next bytes are to be read to. */
  space(): Buffer {
    return this.#buffer.subarray(this.#end);
  }

  /** So many bytes were read to {@link space}. */
  filled(count: number): void {
    this.#end += count;
    this.#cut();
    if (!this.#closed) this.#sink.onBatch();
  }

  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.#closed;) {
      const copied = chunk.copy(this.#buffer, this.#end, at);
      at += copied;
      this.filled(copied);
    }
  }

  close(): void {
    this.#closed = true;
  }

  #cut(): void {
    while (!this.#closed) {
      this.#skip();
      const available = this.#end - this.#begin;
      if (available < LENGTH_BYTES) break;
      const length = this.#buffer.readUInt32BE(this.#begin);
      if (length > MAX_FRAME_BYTES) {
        this.#skipBytes = LENGTH_BYTES + length;
        this.#sink.onOversized();
        continue;
      }
      if (available < LENGTH_BYTES + length) break;
      const begin = this.#begin + LENGTH_BYTES;
      this.#begin = begin + length;
      this.#sink.onFrame(this.#buffer, begin, begin + length);
    }
    this.#makeRoom();
  }

  #skip(): void {
    const count = Math.min(this.#skipBytes, this.#end - this.#begin);
    this.#begin += count;
    this.#skipBytes -= count;
  }

  /** Moves the frame that has only begun to the front, if it could not be completed where it is. */
  #makeRoom(): void {
    if (this.#begin === this.#end) {
      this.#begin = 0;
      this.#end = 0;
    } else if (this.#buffer.length - this.#end < SLOT_BYTES) {
      this.#buffer.copyWithin(0, this.#begin, this.#end);
      this.#end -= this.#begin;
      this.#begin = 0;
    }
  }
}
