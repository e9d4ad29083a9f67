/**
 * Memory that busy streams of one link share for windows beyond the initial one. It bounds what a guest can make the
 * host hold, whatever the number of streams.
 */

/** A stream's window may grow by this much. */
const EXTRA_WINDOW_BYTES = 768 * 1024;
const BUDGET_BYTES = 48 * 1024 * 1024;

export class WindowBudget {
  #freeBytes = BUDGET_BYTES;

  /** Bytes by which one stream may grow: all of the extra, or none. */
  take(): number {
    if (this.#freeBytes < EXTRA_WINDOW_BYTES) return 0;
    this.#freeBytes -= EXTRA_WINDOW_BYTES;
    return EXTRA_WINDOW_BYTES;
  }

  give(bytes: number): void {
    this.#freeBytes += bytes;
  }
}
