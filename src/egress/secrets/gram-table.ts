/**
 * The four-byte grams of everything that is looked for, in one small table. A text in which a needle stands has a run of
 * them; to find a run of `n`, it is enough to look at every `n`th place, so a clean text is passed over in long steps
 * however many needles there are. The table may take other grams for its own (hashing, letters of the other case), never
 * miss one.
 */
import type { Form } from "./form.ts";

export const GRAM_BYTES = 4;
const TABLE_BITS = 17;
/** A multiplicative hash: 2^32 over the golden ratio. */
const MULTIPLIER = 0x9e37_79b1;
/** Maps letters of both cases to one, and other bytes to themselves or to a neighbour. */
const ANY_CASE = 0x2020_2020;

export class GramTable {
  readonly #cells = new Uint8Array(1 << TABLE_BITS);

  has(data: Buffer, at: number): boolean {
    return this.#cells[hash(pack(data[at], data[at + 1], data[at + 2], data[at + 3]))] !== 0;
  }

  /** The first of every `stride`th place from `at` on, up to `last`, that has a gram; -1 for none. */
  sample(data: Buffer, at: number, last: number, stride: number): number {
    const cells = this.#cells;
    for (let place = at; place <= last; place += stride) {
      if (cells[hash(pack(data[place], data[place + 1], data[place + 2], data[place + 3]))] !== 0) return place;
    }
    return -1;
  }

  /** Takes in all grams of all ways to write the parts from `from` to before `to`. */
  add(form: Form, from: number, to: number): void {
    const steps = Array.from({ length: to - from }, (_, index) => form.steps(from + index));
    const collect = (bytes: Uint8Array, offset: number, next: number, gram: number, length: number): void => {
      let at = offset;
      while (length < GRAM_BYTES && at < bytes.length) {
        gram |= (bytes[at] ?? 0) << (8 * length);
        length += 1;
        at += 1;
      }
      if (length === GRAM_BYTES) this.#cells[hash(gram)] = 1;
      else for (const step of steps[next - from] ?? []) collect(step.bytes, 0, step.to, gram, length);
    };
    for (const step of steps.flat()) {
      for (let offset = 0; offset < step.bytes.length; offset += 1) collect(step.bytes, offset, step.to, 0, 0);
    }
  }
}

function pack(first = 0, second = 0, third = 0, fourth = 0): number {
  return first | (second << 8) | (third << 16) | (fourth << 24);
}

function hash(gram: number): number {
  return Math.imul(gram | ANY_CASE, MULTIPLIER) >>> (32 - TABLE_BITS);
}
