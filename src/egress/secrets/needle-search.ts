/** Finds needles in chunks of a stream: the next match, or where the rest must wait for more. Input is hostile. */
import type { Form, Trial } from "./form.ts";
import { GRAM_BYTES, gramAt, GramTable } from "./gram-table.ts";
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

/**
 * Bytes that trials may look at in so many bytes of a text. Only one that is made for it gets there, and only with a needle
 * that begins anew within itself again and again.
 */
const MAX_READ = 32 * 1024 * 1024;
const READ_PER_BYTES = 64 * 1024;
/** A longer text, which is a whole WebSocket message, may cost so many times as much, and no more. */
const MAX_TIMES = 8;

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
  /** By the gram that they may begin with: most of what stands in a run of grams begins nothing. */
  readonly #byFirst = new Map<number, Candidates<T>[]>();
  /** All of them, for the last bytes, which are no gram. */
  readonly #candidates: Candidates<T>[] = [];
  /** Grams in a row that every match has. */
  readonly #stride: number;
  /** Of the search that is going on. */
  #readLeft = 0;

  constructor(needles: readonly Needle<T>[]) {
    this.isEmpty = needles.length === 0;
    let stride = Number.POSITIVE_INFINITY;
    for (const alike of Map.groupBy(needles, ({ anchorKey }) => anchorKey).values()) {
      for (const [index, anchor] of (alike[0]?.anchors ?? []).entries()) {
        const added = this.#grams.add(anchor);
        stride = Math.min(stride, added.stride);
        const all = alike.flatMap(({ tag, forms }) => forms.slice(index, index + 1).map((form) => ({ tag, form })));
        const candidates = { anchor: all.length > 1 ? anchor : null, all };
        this.#candidates.push(candidates);
        for (const gram of added.first) {
          const known = this.#byFirst.get(gram);
          if (known === undefined) this.#byFirst.set(gram, [candidates]);
          else known.push(candidates);
        }
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
   * @throws Error for a text that is made to be expensive
   */
  find(data: Buffer, from: number, final: boolean): Found<T> | null {
    if (this.isEmpty) return null;
    this.#readLeft = MAX_READ * Math.min(MAX_TIMES, Math.max(1, (data.length - from) / READ_PER_BYTES));
    const grams = this.#grams;
    const stride = this.#stride;
    const last = data.length - GRAM_BYTES;
    let at = grams.sample(data, from + stride - 1, last, stride);
    let inspected = from;
    while (at >= 0) {
      let first = at;
      while (first > from && grams.has(data, first - 1)) first -= 1;
      let end = at;
      while (end - first + 1 < stride && end < last && grams.has(data, end + 1)) end += 1;
      if (end - first + 1 >= stride) {
        // The rest of the run is looked at on the way: there may be many matches in it.
        for (let start = Math.max(from, first - LEAD_BYTES); start <= end; start += 1) {
          const found = this.#inspect(data, start, final);
          if (found !== null) return found;
          if (start === end && end < last && grams.has(data, end + 1)) end += 1;
        }
        inspected = end + 1;
      }
      at = grams.sample(data, end + 1 + stride, last, stride);
    }
    return final ? null : this.#inspectTail(data, from, inspected);
  }

  #inspect(data: Buffer, start: number, final: boolean): Found<T> | null {
    const candidates = start + GRAM_BYTES <= data.length ? this.#byFirst.get(gramAt(data, start)) : this.#candidates;
    if (candidates === undefined) return null;
    let best: (Candidate<T> & Trial) | null = null;
    for (const { anchor, all } of candidates) {
      if (anchor !== null) {
        const { end, partial } = this.#try(anchor, data, start);
        if (partial && !final) return { kind: "hold", start };
        if (end < 0) continue;
      }
      for (const candidate of all) {
        const trial = this.#try(candidate.form, data, start);
        if (trial.partial && !final) return { kind: "hold", start };
        if (trial.end > (best?.end ?? -1)) best = { ...candidate, ...trial };
      }
    }
    if (best === null) return null;
    const { tag, form, end, written } = best;
    return { kind: "match", tag, start, end, form: form.kind, written };
  }

  #try(form: Form, data: Buffer, start: number): Trial {
    const trial = form.try(data, start);
    this.#readLeft -= form.read;
    if (this.#readLeft < 0) throw new Error("there is too much in it that is nearly a secret");
    return trial;
  }

  /**
   * Whether the end of the data may be the beginning of a match: then all grams from there on are known ones.
   *
   * @param inspected up to where no match begins
   */
  #inspectTail(data: Buffer, from: number, inspected: number): Found<T> | null {
    let unknown = data.length - GRAM_BYTES;
    while (unknown >= inspected && this.#grams.has(data, unknown)) unknown -= 1;
    for (let start = Math.max(from, inspected, unknown + 1 - LEAD_BYTES); start < data.length; start += 1) {
      const found = this.#inspect(data, start, false);
      if (found !== null) return found;
    }
    return null;
  }
}
