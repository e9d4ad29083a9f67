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

  /** Lives for at least `ms` from now. Never shortens a life. */
  extend(ms: number): void {
    if (!Number.isFinite(this.#deadline)) return;
    this.#deadline = Math.max(this.#deadline, performance.now() + ms);
    this.#arm();
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (!Number.isFinite(this.#deadline)) return;
    const remaining = this.#deadline - performance.now();
    if (remaining <= 0) {
      this.#onExpired();
      return;
    }
    this.#timer = setTimeout(() => this.#arm(), Math.min(remaining, MAX_TIMER_MS));
  }
}
