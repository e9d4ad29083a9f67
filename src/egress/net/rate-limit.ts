/** At most so many in a second; nothing is remembered of the others. */
import type { Clock } from "./clock.ts";

export class RateLimit {
  readonly #perSecond: number;
  readonly #clock: Clock;
  #second = -1;
  #left = 0;

  constructor(perSecond: number, clock: Clock) {
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  allows(): boolean {
    const second = Math.floor(this.#clock.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#left = this.#perSecond;
    }
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }
}
