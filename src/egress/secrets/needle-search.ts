/** Finds needles in chunks of a stream: the next match, or where the rest must wait for more. Input is hostile. */
import { GRAM_BYTES, GramTable } from "./gram-table.ts";
import type { Needle, Written } from "./needle.ts";

export type Found<T> =
  | ({ kind: "match"; tag: T } & Written)
  /** What begins at `start` may become a match. */
  | { kind: "hold"; start: number };

/**
 * A match may begin this many bytes before its first gram: the first character of base64 that holds bits of a
 * neighbour, which may be written in three (`%2F`).
 */
const LEAD_BYTES = 3;

export class NeedleSearch<T> {
  readonly #needles: readonly Needle<T>[];
  readonly #grams = new GramTable();
  readonly #begins = new Uint8Array(256);
  /** Grams in a row that every match has. */
  readonly #stride: number;

  constructor(needles: readonly Needle<T>[]) {
    this.#needles = needles;
    let stride = Number.POSITIVE_INFINITY;
    const known = new Set<string>();
    for (const needle of needles) {
      for (const byte of needle.firstBytes()) this.#begins[byte] = 1;
      if (known.has(needle.anchorKey)) continue;
      known.add(needle.anchorKey);
      for (const { form, from, to } of needle.anchors) {
        this.#grams.add(form, from, to);
        stride = Math.min(stride, to - from - GRAM_BYTES + 1);
      }
    }
    this.#stride = stride;
  }

  get isEmpty(): boolean {
    return this.#needles.length === 0;
  }

  /** Whether a whole text has a match. */
  occursIn(data: Buffer): boolean {
    return this.find(data, 0, true) !== null;
  }

  /**
   * The first match that begins at `from` or later, of several the longest.
   *
   * @param final whether nothing comes after `data`
   */
  find(data: Buffer, from: number, final: boolean): Found<T> | null {
    if (this.isEmpty) return null;
    const grams = this.#grams;
    const stride = this.#stride;
    const last = data.length - GRAM_BYTES;
    let at = grams.sample(data, from + stride - 1, last, stride);
    while (at >= 0) {
      let first = at;
      while (first > from && grams.has(data, first - 1)) first -= 1;
      let end = at;
      while (end < last && grams.has(data, end + 1)) end += 1;
      if (end - first + 1 >= stride) {
        const found = this.#inspect(data, Math.max(from, first - LEAD_BYTES), end, final);
        if (found !== null) return found;
      }
      at = grams.sample(data, end + 1 + stride, last, stride);
    }
    return final ? null : this.#inspectTail(data, from);
  }

  #inspect(data: Buffer, from: number, to: number, final: boolean): Found<T> | null {
    for (let start = from; start <= to; start += 1) {
      if (this.#begins[data[start] ?? 0] === 0) continue;
      let best: Found<T> | null = null;
      let longest = -1;
      for (const needle of this.#needles) {
        const { match, partial } = needle.try(data, start);
        if (partial && !final) return { kind: "hold", start };
        if (match === null || match.end <= longest) continue;
        longest = match.end;
        best = { kind: "match", tag: needle.tag, ...match };
      }
      if (best !== null) return best;
    }
    return null;
  }

  /** Whether the end of the data may be the beginning of a match: then all grams from there on are known ones. */
  #inspectTail(data: Buffer, from: number): Found<T> | null {
    let unknown = data.length - GRAM_BYTES;
    while (unknown >= from && this.#grams.has(data, unknown)) unknown -= 1;
    const found = this.#inspect(data, Math.max(from, unknown + 1 - LEAD_BYTES), data.length - 1, false);
    return found;
  }
}
