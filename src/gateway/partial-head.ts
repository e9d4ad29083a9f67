/** The beginning of a head, in a buffer that grows: who sends it may do so byte by byte. */
export class PartialHead {
  #bytes: Buffer | undefined;
  length = 0;

  /** Copies: the chunk that it is in may be much larger. */
  begin(bytes: Buffer): void {
    this.clear();
    this.add(bytes);
  }

  /** All that there is now. */
  add(chunk: Buffer): Buffer {
    const length = this.length + chunk.length;
    if (this.#bytes === undefined || this.#bytes.length < length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(1024, 2 * length));
      this.#bytes?.copy(larger, 0, 0, this.length);
      this.#bytes = larger;
    }
    chunk.copy(this.#bytes, this.length);
    this.length = length;
    return this.#bytes.subarray(0, length);
  }

  /** What was returned stays as it is. */
  clear(): void {
    this.#bytes = undefined;
    this.length = 0;
  }
}
