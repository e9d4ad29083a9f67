/**
 * Where one WebSocket frame ends and the next begins (RFC 6455, section 5.2), in a stream of any cut. A relay passes
 * bytes on as they are; it has to know this only to put one frame of its own behind the last whole one. Payloads are
 * counted, not looked at.
 */

/** Bytes before the payload: two, and up to eight more of the length, and four of the mask. */
const MAX_HEAD_BYTES = 14;

export class FrameBoundary {
  readonly #head = Buffer.alloc(MAX_HEAD_BYTES);
  #headLength = 0;
  /** Bytes of the payload that are still to come. */
  #remaining = 0;

  get isBetweenFrames(): boolean {
    return this.#remaining === 0 && this.#headLength === 0;
  }

  /** Counts a chunk. @param stop at the next boundary. @returns how much of the chunk was counted: all of it, unless it stopped */
  advance(chunk: Buffer, stop = false): number {
    let at = 0;
    while (at < chunk.length) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, chunk.length - at);
        this.#remaining -= taken;
        at += taken;
      } else {
        this.#head[this.#headLength++] = chunk[at++] ?? 0;
        if (this.#headLength < headLengthOf(this.#head, this.#headLength)) continue;
        this.#remaining = payloadLengthOf(this.#head);
        this.#headLength = 0;
      }
      if (stop && this.isBetweenFrames) return at;
    }
    return at;
  }
}

function headLengthOf(head: Buffer, known: number): number {
  if (known < 2) return 2;
  const second = head[1] ?? 0;
  const length = second & 0x7f;
  const extended = length === 126 ? 2 : length === 127 ? 8 : 0;
  return 2 + extended + ((second & 0x80) === 0 ? 0 : 4);
}

function payloadLengthOf(head: Buffer): number {
  const length = (head[1] ?? 0) & 0x7f;
  if (length === 126) return head.readUInt16BE(2);
  if (length === 127) return Number(head.readBigUInt64BE(2));
  return length;
}

/** A server's Close frame. @param reason of at most 123 bytes */
export function closeFrame(code: number, reason: string): Buffer {
  const text = Buffer.from(reason, "utf8").subarray(0, 123);
  const frame = Buffer.alloc(4 + text.length);
  frame[0] = 0x88;
  frame[1] = 2 + text.length;
  frame.writeUInt16BE(code, 2);
  text.copy(frame, 4);
  return frame;
}
