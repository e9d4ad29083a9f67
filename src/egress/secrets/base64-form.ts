/**
 * A sequence of bytes within base64 text (RFC 4648, both alphabets), wherever it begins in its group of three bytes.
 * Characters that hold some of its bits and some of a neighbour's belong to the match.
 */
import { WRITTEN } from "./escapes.ts";
import { CUT_OFF, type Form, NO_MATCH, type Step, type Trial } from "./form.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const WHOLE = 0b11_1111;
const NOT_BASE64 = 64;
const PERCENT = 0x25;
const SLASH = 0x2f;
const DIGIT_TWO = 0x32;
const BACKSLASH = 0x5c;
const LETTER_B = 0x62;
const LETTER_F = 0x66;
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
  const first = data[at];
  if (first === BACKSLASH) {
    if (at + 1 >= data.length) return "partial";
    return data[at + 1] === SLASH ? { sextet: 63, end: at + 2 } : undefined;
  }
  if (first !== PERCENT) return undefined;
  if (at + 1 >= data.length) return "partial";
  if (data[at + 1] !== DIGIT_TWO) return undefined;
  if (at + 2 >= data.length) return "partial";
  const letter = (data[at + 2] ?? 0) | 0x20;
  if (letter === LETTER_B) return { sextet: 62, end: at + 3 };
  return letter === LETTER_F ? { sextet: 63, end: at + 3 } : undefined;
}

export class Base64Form implements Form {
  /** Where the sequence begins in its group of three bytes. */
  readonly kind: 0 | 1 | 2;
  readonly #values: Uint8Array;
  readonly #masks: Uint8Array;
  #read = 0;

  constructor(bytes: Buffer, alignment: 0 | 1 | 2) {
    this.kind = alignment;
    // Bits of the first character that belong to what stands before.
    const bitsBefore = 2 * alignment;
    const bits = 8 * bytes.length;
    const length = Math.ceil((bitsBefore + bits) / 6);
    this.#values = new Uint8Array(length);
    this.#masks = new Uint8Array(length);
    for (let bit = 0; bit < bits; bit += 1) {
      const at = bitsBefore + bit;
      const index = Math.floor(at / 6);
      const place = 5 - (at % 6);
      const set = ((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
      this.#values[index] = (this.#values[index] ?? 0) | (set << place);
      this.#masks[index] = (this.#masks[index] ?? 0) | (1 << place);
    }
  }

  get read(): number {
    return this.#read;
  }

  get wholeParts(): { from: number; to: number } {
    const length = this.#masks.length;
    return { from: this.#masks[0] === WHOLE ? 0 : 1, to: this.#masks[length - 1] === WHOLE ? length : length - 1 };
  }

  firstSteps(): Step[] {
    const steps: Step[] = [];
    for (let sextet = 0; sextet < 64; sextet += 1) {
      if ((sextet & (this.#masks[0] ?? 0)) === this.#values[0]) steps.push(...stepsOf(sextet, 1));
    }
    return steps;
  }

  steps(index: number): Step[] {
    return stepsOf(this.#values[index] ?? 0, index + 1);
  }

  try(data: Buffer, begin: number): Trial {
    let at = begin;
    for (let index = 0; index < this.#values.length; index += 1) {
      if (at >= data.length) return CUT_OFF;
      this.#read = index + 1;
      let sextet = SEXTETS[data[at] ?? 0] ?? NOT_BASE64;
      if (sextet === NOT_BASE64) {
        const read = readSextet(data, at);
        if (read === "partial") return CUT_OFF;
        if (read === undefined) return NO_MATCH;
        sextet = read.sextet;
        at = read.end;
      } else {
        at += 1;
      }
      if ((sextet & (this.#masks[index] ?? WHOLE)) !== this.#values[index]) return NO_MATCH;
    }
    return { end: at, written: WRITTEN.plain, partial: false };
  }
}

function stepsOf(sextet: number, to: number): Step[] {
  const spellings = OTHER_SPELLINGS[sextet] ?? [ALPHABET.charAt(sextet)];
  return spellings.map((text) => ({ bytes: Buffer.from(text), to }));
}
