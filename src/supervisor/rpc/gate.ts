/** Admits a number of holders at a time; the others wait in the order in which they came. */

export class Gate {
  #free: number;
  readonly #waiting: ((release: () => void) => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  /** Waits for a place and returns what gives it back; calling that twice is fine. */
  async enter(): Promise<() => void> {
    if (this.#free > 0) {
      this.#free--;
      return this.#makeRelease();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #makeRelease(): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = this.#waiting.shift();
      // Handed over directly, so that nobody who comes later gets in between.
      if (next === undefined) this.#free++;
      else next(this.#makeRelease());
    };
  }
}
