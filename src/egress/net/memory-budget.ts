/** Bytes that all flows of a stack share. What is taken is given back when the memory is free, and never before. */

export class MemoryBudget {
  readonly limitBytes: number;
  #usedBytes = 0;
  #peakBytes = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** Beyond half of it, flows get smaller windows: those that are stuck must not use up what the others need. */
  get isTight(): boolean {
    return this.#usedBytes > this.limitBytes / 2;
  }

  /** Takes all of it or nothing. @param limitBytes of this caller, below the budget's own */
  take(bytes: number, limitBytes: number = this.limitBytes): boolean {
    if (this.#usedBytes + bytes > limitBytes) return false;
    this.force(bytes);
    return true;
  }

  /** For memory that somebody else has allocated already. */
  force(bytes: number): void {
    this.#usedBytes += bytes;
    if (this.#usedBytes > this.#peakBytes) this.#peakBytes = this.#usedBytes;
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}
