/** How often something may be made: a bucket that fills by and by, so that a short burst of a minute's worth passes. */
export class CreationRate {
  readonly #perMinute: number;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  /** @param now monotonic, `ms` */
  constructor(perMinute: number, now: () => number) {
    this.#perMinute = perMinute;
    this.#now = now;
    this.#tokens = perMinute;
    this.#filledAt = now();
  }

  /** Takes so many; else says how long until there are as many, `ms`. */
  take(count = 1): number | undefined {
    const now = this.#now();
    const perMs = this.#perMinute / 60_000;
    this.#tokens = Math.min(this.#perMinute, this.#tokens + (now - this.#filledAt) * perMs);
    this.#filledAt = now;
    if (this.#tokens < count) return Math.ceil((count - this.#tokens) / perMs);
    this.#tokens -= count;
    return undefined;
  }
}
