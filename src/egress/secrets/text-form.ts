/** A sequence of bytes as it stands in text, where each character may be written in any way of escapes.ts. */
import { type Escape, escapesOfByte, escapesOfCodePoint, WRITTEN } from "./escapes.ts";
import { CUT_OFF, type Form, NO_MATCH, type Step, type Trial } from "./form.ts";

const PERCENT = 0x25;
const AMPERSAND = 0x26;
const PLUS = 0x2b;
const BACKSLASH = 0x5c;
const CASE_BIT = 0x20;

type Mutable<T> = { -readonly [key in keyof T]: T[key] };

interface State {
  /** Bytes of the sequence that are behind. */
  index: number;
  /** Offset in the text. */
  at: number;
  written: number;
}

export class TextForm implements Form {
  readonly #bytes: Buffer;
  readonly #anyCase: boolean;
  /** The character that begins at a byte; -1 within one. */
  readonly #codePoints: Int32Array;
  /** A character of the sequence also begins escapes, so that one text can be read in several ways. */
  readonly #ambiguous: boolean;

  constructor(text: string, anyCase: boolean) {
    this.#bytes = Buffer.from(text);
    this.#anyCase = anyCase;
    this.#codePoints = new Int32Array(this.#bytes.length).fill(-1);
    let at = 0;
    for (const character of text) {
      this.#codePoints[at] = character.codePointAt(0) ?? 0;
      at += Buffer.byteLength(character);
    }
    this.#ambiguous = this.#bytes.some(isIntroducer);
  }

  get kind(): "text" {
    return "text";
  }

  get wholeParts(): { from: number; to: number } {
    return { from: 0, to: this.#bytes.length };
  }

  firstBytes(): number[] {
    return this.steps(0).flatMap(({ bytes: [first = 0] }) =>
      isLetter(first) && this.#anyCase ? [first, first ^ CASE_BIT] : [first],
    );
  }

  steps(index: number): Step[] {
    const byte = this.#bytes[index] ?? 0;
    const codePoint = this.#codePoints[index] ?? -1;
    const steps: Step[] = [{ bytes: this.#bytes.subarray(index, index + 1), to: index + 1 }];
    const add = (escapes: readonly Escape[], to: number): void => {
      for (const { bytes } of escapes) steps.push({ bytes, to });
    };
    add(escapesOfByte(byte), index + 1);
    if (codePoint < 0) return steps;
    add(escapesOfCodePoint(codePoint), index + byteLength(codePoint));
    if (!this.#anyCase || !isLetter(codePoint)) return steps;
    add(escapesOfByte(byte ^ CASE_BIT), index + 1);
    add(escapesOfCodePoint(codePoint ^ CASE_BIT), index + 1);
    return steps;
  }

  try(data: Buffer, begin: number): Trial {
    return this.#tryPlain(data, begin) ?? this.#tryEscaped(data, begin);
  }

  /** What is plain as far as it goes; undefined where an escape begins. */
  #tryPlain(data: Buffer, begin: number): Trial | undefined {
    const bytes = this.#bytes;
    let written: number = WRITTEN.plain;
    for (let index = 0; index < bytes.length; index += 1) {
      const found = data[begin + index];
      if (found === undefined) return CUT_OFF;
      if (isIntroducer(found)) return undefined;
      const wanted = bytes[index] ?? 0;
      if (found === wanted) continue;
      if (!this.#anyCase || (found ^ wanted) !== CASE_BIT || !isLetter(found)) return NO_MATCH;
      written |= WRITTEN.otherCase;
    }
    return { end: begin + bytes.length, written, partial: false };
  }

  #tryEscaped(data: Buffer, begin: number): Trial {
    const trial: Mutable<Trial> = { end: -1, written: 0, partial: false };
    const open: State[] = [{ index: 0, at: begin, written: WRITTEN.plain }];
    const seen = this.#ambiguous ? new Set<string>() : null;
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      if (seen !== null) {
        const key = `${state.index} ${state.at}`;
        if (seen.has(key)) continue;
        seen.add(key);
      }
      this.#follow(data, state, open, trial);
    }
    return trial;
  }

  /** Reads plain bytes as far as they go, and leaves the escapes on the way to be read. */
  #follow(data: Buffer, { index, at, written }: State, open: State[], trial: Mutable<Trial>): void {
    const bytes = this.#bytes;
    for (;;) {
      if (index === bytes.length) {
        if (at > trial.end) {
          trial.end = at;
          trial.written = written;
        }
        return;
      }
      const found = data[at];
      if (found === undefined) {
        trial.partial = true;
        return;
      }
      const wanted = bytes[index] ?? 0;
      const plain = found === wanted;
      const fold = !plain && this.#anyCase && (found ^ wanted) === CASE_BIT && isLetter(found);
      if (isIntroducer(found)) {
        this.#readEscapes(data, { index, at, written }, open, trial);
        if (this.#ambiguous && plain) {
          open.push({ index: index + 1, at: at + 1, written });
          return;
        }
      }
      if (!plain && !fold) return;
      if (fold) written |= WRITTEN.otherCase;
      index += 1;
      at += 1;
    }
  }

  #readEscapes(data: Buffer, state: State, open: State[], trial: Mutable<Trial>): void {
    const { index } = state;
    const byte = this.#bytes[index] ?? 0;
    const codePoint = this.#codePoints[index] ?? -1;
    readOneOf(escapesOfByte(byte), index + 1, data, state, open, trial);
    if (codePoint < 0) return;
    const to = index + byteLength(codePoint);
    readOneOf(escapesOfCodePoint(codePoint), to, data, state, open, trial);
    // A letter in the other case may be escaped as such.
    if (!this.#anyCase || !isLetter(codePoint)) return;
    const other = { ...state, written: state.written | WRITTEN.otherCase };
    readOneOf(escapesOfByte(byte ^ CASE_BIT), to, data, other, open, trial);
    readOneOf(escapesOfCodePoint(codePoint ^ CASE_BIT), to, data, other, open, trial);
  }
}

function readOneOf(
  escapes: readonly Escape[],
  to: number,
  data: Buffer,
  { at, written }: State,
  open: State[],
  trial: Mutable<Trial>,
): void {
  for (const escape of escapes) {
    const length = commonLength(data, at, escape.bytes);
    if (length === escape.bytes.length) open.push({ index: to, at: at + length, written: written | escape.written });
    else if (at + length === data.length) trial.partial = true;
  }
}

/** How many bytes of an escape are there. */
function commonLength(data: Buffer, at: number, wanted: Buffer): number {
  let length = 0;
  for (; length < wanted.length; length += 1) {
    const byte = data[at + length];
    const other = wanted[length] ?? 0;
    if (byte !== other && (byte === undefined || (byte ^ other) !== CASE_BIT || !isLetter(byte))) break;
  }
  return length;
}

function byteLength(codePoint: number): number {
  return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x1_0000 ? 3 : 4;
}

function isIntroducer(byte: number): boolean {
  return byte === PERCENT || byte === BACKSLASH || byte === AMPERSAND || byte === PLUS;
}

function isLetter(byte: number): boolean {
  const lower = byte | CASE_BIT;
  return lower >= 0x61 && lower <= 0x7a;
}
