/**
 * When a sandbox ends by itself. Durations run on the monotonic clock, so setting the host's clock neither kills a
 * sandbox nor keeps it alive.
 */

/** Longest delay that a Node timer takes, `ms`. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class Lifetime {
  readonly #onExpired: () => void;
  #deadline: number;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  /** @param ms from now; `null` for a sandbox that lives with its session */
  constructor(ms: number | null, onExpired: () => void) {
    this.#onExpired = onExpired;
    this.#deadline = ms === null ? Number.POSITIVE_INFINITY : performance.now() + ms;
    this.#arm();
  }

  /** Epoch `ms` by the host's clock of now; `null` without an end. */
  get expiresAt(): number | null {
    return Number.isFinite(this.#deadline) ? Math.round(Date.now() + this.#deadline - performance.now()) : null;
  }

  /** Lives for at least `ms` from now. Never shortens a life, and brings none back. */
  extend(ms: number): void {
    this.#deadline = Math.max(this.#deadline, performance.now() + ms);
    this.#arm();
  }

  cancel(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#isOver || !Number.isFinite(this.#deadline)) return;
    const remaining = Math.max(0, this.#deadline - performance.now());
    this.#timer = setTimeout(() => this.#look(), Math.min(remaining, MAX_TIMER_MS));
  }

  /** A timer may fire early, or stand for a part of a long wait. */
  #look(): void {
    if (performance.now() < this.#deadline) {
      this.#arm();
      return;
    }
    this.#isOver = true;
    this.#onExpired();
  }
}
