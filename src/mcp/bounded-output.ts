/** Keeps the beginning and the end of a process's output, and counts what is between. The bytes are the guest's. */

/** Of one output: the first and the last so many bytes. */
export const KEPT_BYTES = 32 * 1024;

export interface BoundedText {
  text: string;
  /** Bytes that were left out between the beginning and the end. */
  omittedBytes: number;
}

export class BoundedOutput {
  readonly #head: Buffer[] = [];
  #headBytes = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #omitted = 0;

  /** Reads a stream to its end, whatever its length. */
  async drain(source: AsyncIterable<Buffer | string>): Promise<void> {
    for await (const chunk of source) this.add(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  }

  add(chunk: Buffer): void {
    const room = KEPT_BYTES - this.#headBytes;
    const first = chunk.subarray(0, room);
    if (first.length > 0) this.#head.push(first);
    this.#headBytes += first.length;
    const rest = chunk.subarray(first.length);
    if (rest.length === 0) return;
    this.#tail.push(rest);
    this.#tailBytes += rest.length;
    // Cut when it has doubled: what is copied is never more than what has come.
    if (this.#tailBytes > 2 * KEPT_BYTES) this.#cutTail();
  }

  get bytes(): number {
    return this.#headBytes + this.#omitted + this.#tailBytes;
  }

  /** What there is so far. A character that the cut goes through is left out with the middle. */
  read(): BoundedText {
    this.#cutTail();
    const head = Buffer.concat(this.#head);
    const tail = Buffer.concat(this.#tail);
    if (this.#omitted === 0) return { text: Buffer.concat([head, tail]).toString(), omittedBytes: 0 };
    const headEnd = endOfWhole(head);
    const tailStart = startOfWhole(tail);
    const omittedBytes = this.#omitted + (head.length - headEnd) + tailStart;
    const gap = `\n[… ${omittedBytes} bytes left out …]\n`;
    return { text: `${head.toString("utf8", 0, headEnd)}${gap}${tail.toString("utf8", tailStart)}`, omittedBytes };
  }

  #cutTail(): void {
    if (this.#tailBytes <= KEPT_BYTES) return;
    const whole = Buffer.concat(this.#tail);
    // A copy, so that the rest of the memory can go.
    const kept = Buffer.from(whole.subarray(whole.length - KEPT_BYTES));
    this.#omitted += whole.length - kept.length;
    this.#tail = [kept];
    this.#tailBytes = kept.length;
  }
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;

/** UTF-8 characters have up to four bytes: where the last one begins, if it is cut off. */
function endOfWhole(bytes: Buffer): number {
  let start = bytes.length - 1;
  while (start > bytes.length - 4 && isContinuation(bytes[start])) start--;
  const lead = bytes[start];
  if (lead === undefined || lead < 0xc0) return bytes.length;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  return start + length <= bytes.length ? bytes.length : start;
}

function startOfWhole(bytes: Buffer): number {
  let start = 0;
  while (start < 3 && isContinuation(bytes[start])) start++;
  return start;
}
