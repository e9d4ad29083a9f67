/**
 * A sequence of bytes within base64 text (RFC 4648, both alphabets), wherever it begins in its group of three bytes.
 * Characters that hold some of its bits and some of a neighbour's belong to the match.
 */
import { WRITTEN } from "./escapes.ts";
import type { Form, Step, Trial } from "./form.ts";

/** Where the sequence begins in its group of three bytes. */
export type Alignment = 0 | 1 | 2;

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const WHOLE = 0b11_1111;
const NOT_BASE64 = 64;
/** How `+` and `/` may also stand: in the alphabet for URLs, in a URL, and `/` in JSON. */
const OTHER_SPELLINGS: Readonly<Record<number, readonly string[]>> = {
  62: ["+", "-", "%2b"],
  63: ["/", "_", "%2f", "\\/"],
};

const SEXTETS = new Uint8Array(256).fill(NOT_BASE64);
for (let value = 0; value < 64; value += 1) SEXTETS[ALPHABET.charCodeAt(value)] = value;
SEXTETS[0x2d] = 62;
SEXTETS[0x5f] = 63;

/** The six bits that a character stands for; undefined for one that is of neither alphabet. */
export function sextetOf(byte: number | undefined): number | undefined {
  const value = byte === undefined ? NOT_BASE64 : (SEXTETS[byte] ?? NOT_BASE64);
  return value === NOT_BASE64 ? undefined : value;
}

/** @param forUrls with `-` and `_` */
export function base64Byte(sextet: number, forUrls: boolean): number {
  if (forUrls && sextet === 62) return 0x2d;
  if (forUrls && sextet === 63) return 0x5f;
  return ALPHABET.charCodeAt(sextet);
}

/** Reads one character in any spelling. */
export function readSextet(data: Buffer, at: number): { sextet: number; end: number } | "partial" | undefined {
  const sextet = sextetOf(data[at]);
  if (sextet !== undefined) return { sextet, end: at + 1 };
  const [first, second, third] = data.subarray(at, at + 3);
  if (first === 0x5c) {
    if (second === undefined) return "partial";
    return second === 0x2f ? { sextet: 63, end: at + 2 } : undefined;
  }
  if (first !== 0x25) return undefined;
  if (second !== undefined && second !== 0x32) return undefined;
  if (second === undefined || third === undefined) return "partial";
  const letter = third | 0x20;
  return letter === 0x62 ? { sextet: 62, end: at + 3 } : letter === 0x66 ? { sextet: 63, end: at + 3 } : undefined;
}

export class Base64Form implements Form {
  readonly alignment: Alignment;
  /** Bits of the first character that belong to what stands before. */
  readonly bitsBefore: number;
  readonly #values: Uint8Array;
  readonly #masks: Uint8Array;

  constructor(bytes: Buffer, alignment: Alignment) {
    this.alignment = alignment;
    const first = Math.floor((8 * alignment) / 6);
    this.bitsBefore = 8 * alignment - 6 * first;
    const bits = 8 * bytes.length;
    const length = Math.ceil((this.bitsBefore + bits) / 6);
    this.#values = new Uint8Array(length);
    this.#masks = new Uint8Array(length);
    for (let bit = 0; bit < bits; bit += 1) {
      const at = this.bitsBefore + bit;
      const index = Math.floor(at / 6);
      const place = 5 - (at % 6);
      const set = ((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
      this.#values[index] = (this.#values[index] ?? 0) | (set << place);
      this.#masks[index] = (this.#masks[index] ?? 0) | (1 << place);
    }
  }

  get kind(): "base64" {
    return "base64";
  }

  get length(): number {
    return this.#values.length;
  }

  /** Characters that hold only bits of the first `anchorBytes`. */
  wholeSextets(anchorBytes: number): { from: number; to: number } {
    return { from: this.bitsBefore === 0 ? 0 : 1, to: Math.floor((this.bitsBefore + 8 * anchorBytes) / 6) };
  }

  firstBytes(): number[] {
    const bytes: number[] = [];
    for (let sextet = 0; sextet < 64; sextet += 1) {
      if ((sextet & (this.#masks[0] ?? 0)) !== this.#values[0]) continue;
      for (const text of spellings(sextet)) bytes.push(text.charCodeAt(0));
    }
    return bytes;
  }

  steps(index: number): Step[] {
    return spellings(this.#values[index] ?? 0).map((text) => ({ bytes: Buffer.from(text), to: index + 1 }));
  }

  try(data: Buffer, begin: number): Trial {
    let at = begin;
    for (let index = 0; index < this.#values.length; index += 1) {
      if (at >= data.length) return { end: -1, written: WRITTEN.plain, partial: true };
      const read = readSextet(data, at);
      if (read === "partial") return { end: -1, written: WRITTEN.plain, partial: true };
      if (read === undefined || (read.sextet & (this.#masks[index] ?? WHOLE)) !== this.#values[index]) break;
      at = read.end;
      if (index === this.#values.length - 1) return { end: at, written: WRITTEN.plain, partial: false };
    }
    return { end: -1, written: WRITTEN.plain, partial: false };
  }
}

function spellings(sextet: number): readonly string[] {
  return OTHER_SPELLINGS[sextet] ?? [ALPHABET.charAt(sextet)];
}
