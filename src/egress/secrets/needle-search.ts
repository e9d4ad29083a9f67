/** Finds needles in chunks of a stream: the next match, or where the rest must wait for more. Input is hostile. */
import type { Form, Trial } from "./form.ts";
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

interface Candidate<T> {
  tag: T;
  form: Form;
}

/** What begins alike. */
interface Candidates<T> {
  /** Where it does not match, none of them does. `null` where there is only one. */
  anchor: Form | null;
  all: Candidate<T>[];
}

export class NeedleSearch<T> {
  readonly isEmpty: boolean;
  readonly #grams = new GramTable();
  /** By the byte that they may begin with. */
  readonly #byFirst: readonly Candidates<T>[][] = Array.from({ length: 256 }, () => []);
  /** Grams in a row that every match has. */
  readonly #stride: number;

  constructor(needles: readonly Needle<T>[]) {
    this.isEmpty = needles.length === 0;
    let stride = Number.POSITIVE_INFINITY;
    for (const alike of Map.groupBy(needles, ({ anchorKey }) => anchorKey).values()) {
      for (const [index, anchor] of (alike[0]?.anchors ?? []).entries()) {
        stride = Math.min(stride, this.#grams.add(anchor));
        const all = alike.flatMap(({ tag, forms }) => forms.slice(index, index + 1).map((form) => ({ tag, form })));
        const candidates = { anchor: all.length > 1 ? anchor : null, all };
        for (const byte of new Set(anchor.firstBytes())) this.#byFirst[byte]?.push(candidates);
      }
    }
    this.#stride = stride;
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
      let best: (Candidate<T> & Trial) | null = null;
      for (const { anchor, all } of this.#byFirst[data[start] ?? 0] ?? []) {
        if (anchor !== null) {
          const { end, partial } = anchor.try(data, start);
          if (partial && !final) return { kind: "hold", start };
          if (end < 0) continue;
        }
        for (const candidate of all) {
          const trial = candidate.form.try(data, start);
          if (trial.partial && !final) return { kind: "hold", start };
          if (trial.end > (best?.end ?? -1)) best = { ...candidate, ...trial };
        }
      }
      if (best === null) continue;
      const { tag, form, end, written } = best;
      return { kind: "match", tag, start, end, form: form.kind, written };
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
