/**
 * The targets of names, one for each name as long as anybody has it: connections are counted by it. What nobody has any
 * more is forgotten, so the names of a long life and those that strangers make up take no room, and no number of them
 * takes the place of one that is in use.
 */
import type { Target } from "../../gateway/gateway.ts";

export class LiveTargets<T extends Target> {
  readonly #refs = new Map<string, WeakRef<T>>();
  readonly #gone = new FinalizationRegistry<string>((label) => {
    if (this.#refs.get(label)?.deref() === undefined) this.#refs.delete(label);
  });

  get size(): number {
    return this.#refs.size;
  }

  of(label: string, make: () => T): T {
    const known = this.#refs.get(label)?.deref();
    if (known !== undefined) return known;
    const target = make();
    this.#refs.set(label, new WeakRef(target));
    this.#gone.register(target, label);
    return target;
  }

  /** Those that somebody has, and perhaps some more. */
  *[Symbol.iterator](): Iterator<T> {
    for (const ref of this.#refs.values()) {
      const target = ref.deref();
      if (target !== undefined) yield target;
    }
  }
}
