/**
 * The four-byte grams of everything that is looked for, in one small table. A text in which a needle stands has a run of
 * them; to find a run of `n`, it is enough to look at every `n`th place, so a clean text is passed over in long steps
 * however many needles there are. The table may take other grams for its own (hashing, letters of the other case), never
 * miss one.
 */
import type { Form, Step } from "./form.ts";

export const GRAM_BYTES = 4;
const TABLE_BITS = 17;
/** A multiplicative hash: 2^32 over the golden ratio. */
const MULTIPLIER = 0x9e37_79b1;
/** Maps letters of both cases to one, and other bytes to themselves or to a neighbour. */
const ANY_CASE = 0x2020_2020;

export class GramTable {
  readonly #cells = new Uint8Array(1 << TABLE_BITS);

  has(data: Buffer, at: number): boolean {
    return this.#cells[gramAt(data, at)] !== 0;
  }

  /** The first of every `stride`th place from `at` on, up to `last`, that has a gram; -1 for none. */
  sample(data: Buffer, at: number, last: number, stride: number): number {
    const cells = this.#cells;
    for (let place = at; place <= last; place += stride) {
      if (cells[gramAt(data, place)] !== 0) return place;
    }
    return -1;
  }

  /**
   * Takes in all grams of all ways to write a form.
   *
   * @returns how many in a row each of them has, and the grams that they begin with
   */
  add(form: Form): { stride: number; first: ReadonlySet<number> } {
    const { from, to } = form.wholeParts;
    const steps = Array.from({ length: to - from }, (_, index) => form.steps(from + index));
    const beginnings: Beginnings[] = [];
    for (let index = steps.length - 1; index >= 0; index -= 1) {
      beginnings[index] = findBeginnings(steps[index] ?? [], (next) => beginnings[next - from]);
    }
    for (const step of steps.flat()) {
      const after = beginnings[step.to - from];
      for (let offset = 0; offset < step.bytes.length; offset += 1) {
        const length = Math.min(GRAM_BYTES, step.bytes.length - offset);
        const gram = packUpTo(step.bytes, offset, length);
        if (length === GRAM_BYTES) this.#cells[hash(gram)] = 1;
        else for (const rest of after?.[length] ?? []) this.#cells[hash(gram | (rest << (8 * length)))] = 1;
      }
    }
    const first = new Set<number>();
    for (const step of form.firstSteps()) {
      const length = Math.min(GRAM_BYTES, step.bytes.length);
      const gram = packUpTo(step.bytes, 0, length);
      if (length === GRAM_BYTES) first.add(hash(gram));
      else
        for (const rest of beginnings[step.to - from]?.[length] ?? []) first.add(hash(gram | (rest << (8 * length))));
    }
    // Each part has at least one byte.
    return { stride: to - from - GRAM_BYTES + 1, first };
  }
}

/** What stands for the four bytes at a place, whatever the case of their letters. */
export function gramAt(data: Buffer, at: number): number {
  return hash(pack(data[at], data[at + 1], data[at + 2], data[at + 3]));
}

/** What may come first from a part on, by how much of a gram it follows: the bytes that are missing, packed. */
type Beginnings = readonly ReadonlySet<number>[];

function findBeginnings(steps: readonly Step[], beginningsAt: (part: number) => Beginnings | undefined): Beginnings {
  return Array.from({ length: GRAM_BYTES }, (_, before) => {
    const wanted = GRAM_BYTES - before;
    const found = new Set<number>();
    if (before === 0) return found;
    for (const { bytes, to } of steps) {
      const length = Math.min(wanted, bytes.length);
      const first = packUpTo(bytes, 0, length) | (ANY_CASE >>> (8 * (GRAM_BYTES - length)));
      if (length === wanted) found.add(first);
      else for (const rest of beginningsAt(to)?.[before + length] ?? []) found.add(first | (rest << (8 * length)));
    }
    return found;
  });
}

function packUpTo(bytes: Uint8Array, offset: number, length: number): number {
  let packed = 0;
  for (let at = 0; at < length; at += 1) packed |= (bytes[offset + at] ?? 0) << (8 * at);
  return packed;
}

function pack(first = 0, second = 0, third = 0, fourth = 0): number {
  return first | (second << 8) | (third << 16) | (fourth << 24);
}

function hash(gram: number): number {
  return Math.imul(gram | ANY_CASE, MULTIPLIER) >>> (32 - TABLE_BITS);
}
