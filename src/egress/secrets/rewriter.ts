/**
 * Replaces needles in a stream: what is clean passes at once and uncopied, and no more is held back than what may be the
 * beginning of a match. Cutting the input differently does not change the output. Input is hostile.
 */
import { Base64Splice } from "./base64-splice.ts";
import type { Written } from "./needle.ts";
import type { Found, NeedleSearch } from "./needle-search.ts";

export interface Match<T> extends Written {
  tag: T;
}

/**
 * What stands in the place of a match: text as it is to be written, or, for a match in base64, the bytes whose base64 is
 * to be written. `null` leaves it. What it throws ends the stream.
 */
export type Decide<T> = (match: Match<T>) => Buffer | null;

const NOTHING = Buffer.alloc(0);
/** What {@link Rewriter.release} lets out of a value, if it comes to that. */
const MAX_RELEASED_BYTES = 3;

export class Rewriter<T> {
  /** Asked anew for each chunk: what is looked for may change while a stream is open. */
  readonly #search: () => NeedleSearch<T>;
  readonly #decide: Decide<T>;
  readonly #splice = new Base64Splice();
  #held: Buffer = NOTHING;
  /** How many of the bytes held have been passed on all the same. */
  #released = 0;
  #out: Buffer[] = [];

  constructor(search: () => NeedleSearch<T>, decide: Decide<T>) {
    this.#search = search;
    this.#decide = decide;
  }

  /** @returns what can be passed on; nothing of a chunk for which it throws has been */
  push(chunk: Buffer): Buffer[] {
    this.#rewrite(this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]), false);
    return this.#take();
  }

  end(): Buffer[] {
    this.#rewrite(this.#held, true);
    if (this.#splice.active) this.#write(this.#splice.end());
    return this.#take();
  }

  /**
   * Passes on what is held if it is little: both ends may be waiting for it. A match that it begins is still found, and
   * only the rest of it replaced, so what stands for a match must have its length.
   */
  release(): Buffer[] {
    if (this.#held.length > MAX_RELEASED_BYTES || this.#splice.active) return [];
    const bytes = this.#held.subarray(this.#released);
    this.#released = this.#held.length;
    return bytes.length === 0 ? [] : [bytes];
  }

  /** Bytes that wait for what follows them. */
  get heldBytes(): number {
    return this.#held.length - this.#released;
  }

  #rewrite(data: Buffer, final: boolean): void {
    const search = this.#search();
    let from = 0;
    let passed = this.#released;
    let found = search.find(data, from, final);
    while (found?.kind === "match") {
      const bytes = this.#decide(found);
      from = found.end;
      if (bytes !== null) {
        this.#pass(data, passed, found.start);
        from = this.#replace(data, found, bytes, Math.max(0, passed - found.start));
        passed = from;
      }
      found = search.find(data, from, final);
    }
    const rest = found === null ? data.length : found.start;
    this.#pass(data, passed, rest);
    // A copy: the chunk's memory is its owner's.
    this.#held = rest === data.length ? NOTHING : Buffer.from(data.subarray(rest));
    this.#released = Math.max(0, passed - rest);
  }

  /** @param released how much of the match has been passed on */
  #replace(data: Buffer, found: Found<T> & { kind: "match" }, bytes: Buffer, released: number): number {
    if (typeof found.form === "string") {
      if (this.#splice.active) this.#write(this.#splice.end());
      this.#write(bytes.subarray(released));
      return found.end;
    }
    const { form, ...place } = found;
    const { written, next } = this.#splice.replace({ data, ...place, bitsBefore: 2 * form }, bytes);
    this.#write(written.subarray(released));
    return next;
  }

  #pass(data: Buffer, from: number, to: number): void {
    let at = from;
    if (this.#splice.active && from < to) {
      const { written, next } = this.#splice.follow(data, from, to);
      this.#write(written);
      at = next;
    }
    if (at < to) this.#write(at === 0 && to === data.length ? data : data.subarray(at, to));
  }

  #write(bytes: Buffer): void {
    if (bytes.length > 0) this.#out.push(bytes);
  }

  #take(): Buffer[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }
}

/** The same for what is there as a whole. */
export function rewriteAll<T>(data: Buffer, search: NeedleSearch<T>, decide: Decide<T>): Buffer {
  const rewriter = new Rewriter(() => search, decide);
  return Buffer.concat([...rewriter.push(data), ...rewriter.end()]);
}
