/**
 * Puts other bytes in the place of some within base64 text as it streams by. Where the lengths differ, what follows moves
 * within its groups of six bits, so the rest of the text is written anew up to its end, padding included. A line break
 * is an end: text in lines (MIME) gets padding in its middle where the lengths do not fit.
 */
import { base64Byte, readSextet, sextetOf } from "./base64-form.ts";

const EQUALS_SIGN = 0x3d;
const GROUP = 4;

export interface SpliceMatch {
  data: Buffer;
  start: number;
  end: number;
  /** Bits of the first character that are not of the match. */
  bitsBefore: number;
}

export class Base64Splice {
  /** `padding`: at an end that `=` may follow. */
  #state: "idle" | "text" | "padding" = "idle";
  /** Bits that wait for more, and how many. */
  #pending = 0;
  #pendingBits = 0;
  /** Characters since the beginning of a group, in the text as it was and as it is now. */
  #characters = 0;
  #written = 0;
  /** Bits of the next character that belong to the match before. */
  #skipBits = 0;
  #paddingLeft = 0;
  #paddingSeen = false;
  #forUrls = false;
  #out: number[] = [];

  get active(): boolean {
    return this.#state !== "idle";
  }

  /** @returns what to write, and where the text goes on: a last character that a neighbour has bits of is still to come */
  replace({ data, start, end, bitsBefore }: SpliceMatch, bytes: Buffer): { written: Buffer; next: number } {
    // Two bits of the first character belong to a byte before if it is the second of its group, four if the third.
    const place = bitsBefore / 2;
    if (this.#state === "text" && this.#characters % GROUP !== place) this.#endText(false);
    if (this.#state === "padding") this.#endPadding();
    if (this.#state === "idle") this.#begin(place);
    const { last, lastSextet, bits } = this.#readMatch(data, start, end, bitsBefore);
    for (const byte of bytes) this.#put(byte, 8);
    const bitsAfter = bits % 8;
    const next = bitsAfter > 0 && end - last === 1 ? last : end;
    if (next === last) {
      this.#characters -= 1;
      this.#skipBits = 6 - bitsAfter;
    } else if (bitsAfter > 0) {
      this.#put(lastSextet & ((1 << bitsAfter) - 1), bitsAfter);
    }
    return { written: this.#take(), next };
  }

  /** Text behind a match. @returns what to write, and how much of `data` that stands for */
  follow(data: Buffer, from: number, to: number): { written: Buffer; next: number } {
    let at = from;
    while (this.#state === "text" && at < to) {
      const sextet = sextetOf(data[at]);
      if (sextet === undefined) {
        this.#endText(data[at] === EQUALS_SIGN);
        break;
      }
      this.#noteAlphabet(data[at]);
      this.#putSextet(sextet);
      at += 1;
    }
    while (this.#state === "padding" && at < to) {
      if (data[at] !== EQUALS_SIGN || this.#paddingLeft === 0) this.#endPadding();
      else {
        this.#paddingSeen = true;
        this.#paddingLeft -= 1;
        at += 1;
      }
    }
    return { written: this.#take(), next: at };
  }

  /** Nothing follows. */
  end(): Buffer {
    if (this.#state === "text") this.#endText(false);
    if (this.#state === "padding") this.#endPadding();
    return this.#take();
  }

  #begin(characters: number): void {
    this.#state = "text";
    this.#pending = 0;
    this.#pendingBits = 0;
    this.#skipBits = 0;
    this.#characters = characters;
    this.#written = characters;
    this.#forUrls = false;
  }

  /** Takes over the bits before the match. @returns its last character, and its bits without those before */
  #readMatch(
    data: Buffer,
    start: number,
    end: number,
    bitsBefore: number,
  ): { last: number; lastSextet: number; bits: number } {
    let last = start;
    let lastSextet = 0;
    let bits = -bitsBefore;
    for (let at = start; at < end;) {
      const read = readSextet(data, at);
      if (read === undefined || read === "partial") break;
      this.#noteAlphabet(data[at]);
      if (at === start) {
        const own = bitsBefore - this.#skipBits;
        this.#put((read.sextet >> (6 - bitsBefore)) & ((1 << own) - 1), own);
        this.#skipBits = 0;
      }
      this.#characters += 1;
      bits += 6;
      last = at;
      lastSextet = read.sextet;
      at = read.end;
    }
    return { last, lastSextet, bits };
  }

  #putSextet(sextet: number): void {
    const bits = 6 - this.#skipBits;
    this.#skipBits = 0;
    this.#characters += 1;
    this.#put(sextet & ((1 << bits) - 1), bits);
  }

  #put(value: number, bits: number): void {
    this.#pending = (this.#pending << bits) | value;
    this.#pendingBits += bits;
    while (this.#pendingBits >= 6) {
      this.#pendingBits -= 6;
      this.#emit((this.#pending >> this.#pendingBits) & 0x3f);
      this.#pending &= (1 << this.#pendingBits) - 1;
    }
  }

  #emit(sextet: number): void {
    this.#out.push(base64Byte(sextet, this.#forUrls));
    this.#written += 1;
  }

  #endText(paddingFollows: boolean): void {
    const rest = this.#characters % GROUP;
    const unused = (rest * 6) % 8;
    const bits = this.#pendingBits - unused;
    if (bits > 0) this.#emit(((this.#pending >> unused) << (6 - bits)) & 0x3f);
    this.#pendingBits = 0;
    this.#pending = 0;
    this.#paddingSeen = rest === 0 && !this.#forUrls;
    this.#paddingLeft = rest === 0 || !paddingFollows ? 0 : GROUP - rest;
    this.#state = "padding";
  }

  #endPadding(): void {
    const missing = (GROUP - (this.#written % GROUP)) % GROUP;
    if (this.#paddingSeen) for (let count = 0; count < missing; count += 1) this.#out.push(EQUALS_SIGN);
    this.#state = "idle";
  }

  #noteAlphabet(byte: number | undefined): void {
    if (byte === 0x2d || byte === 0x5f) this.#forUrls = true;
  }

  #take(): Buffer {
    const written = Buffer.from(this.#out);
    this.#out = [];
    return written;
  }
}
