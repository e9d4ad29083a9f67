/** A sequence of bytes as it stands in text, where each character may be written in any way of escapes.ts. */
import { WRITTEN } from "./escapes.ts";
import { CUT_OFF, type Form, NO_MATCH, type Step, type Trial } from "./form.ts";
import {
  BACKSLASH,
  commonLength,
  differInCase,
  isIntroducer,
  type Way,
  type Ways,
  waysToWrite,
} from "./ways-to-write.ts";

const NO_WAYS: readonly Way[] = [];
/** A backslash may be one, two or four of them; the escape of another character begins with up to three. */
const BACKSLASHES_FOR_ONE = 4;
const BACKSLASHES_OF_ESCAPE = 3;
/** What makes a backslash of the last one of several. */
const ESCAPED_BACKSLASHES = ["\\u005c", "\\x5c"].map((text) => Buffer.from(text));
/** A place in a text that is read in several ways costs as much as so many in one that is read in one. */
const READ_PER_STATE = 8;
/** Of a text that can be read at once. */
const MAX_READ_BYTES = 2 ** 26;

interface State {
  /** Bytes of the sequence that are behind. */
  index: number;
  /** Offset in the text. */
  at: number;
  written: number;
}

/** A text that is being read. Most can be read in one way only, so that nothing stays open. */
interface Reading {
  data: Buffer;
  begin: number;
  end: number;
  written: number;
  partial: boolean;
  open: State[];
  /** Where ways parted: two that meet there go on as one. */
  partings: Set<number> | null;
}

export class TextForm implements Form {
  readonly #bytes: Buffer;
  readonly #anyCase: boolean;
  readonly #ways: readonly Ways[];
  /** How many backslashes there are from a byte on. */
  readonly #backslashes: readonly number[];
  #read = 0;

  constructor(text: string, anyCase: boolean) {
    this.#bytes = Buffer.from(text);
    this.#anyCase = anyCase;
    // The character that begins at a byte; -1 within one.
    const codePoints = new Int32Array(this.#bytes.length).fill(-1);
    let at = 0;
    for (const character of text) {
      codePoints[at] = character.codePointAt(0) ?? 0;
      at += Buffer.byteLength(character);
    }
    this.#ways = Array.from(this.#bytes, (byte, index) => waysToWrite(byte, codePoints[index] ?? -1, anyCase));
    this.#backslashes = countBackslashes(this.#bytes);
  }

  get kind(): "text" {
    return "text";
  }

  get read(): number {
    return this.#read;
  }

  get wholeParts(): { from: number; to: number } {
    return { from: 0, to: this.#bytes.length };
  }

  firstSteps(): Step[] {
    return this.steps(0);
  }

  steps(index: number): Step[] {
    const ways = [...(this.#ways[index]?.values() ?? [])].flat();
    return [
      { bytes: this.#bytes.subarray(index, index + 1), to: index + 1 },
      ...ways.map(({ bytes, bytesFor }) => ({ bytes, to: index + bytesFor })),
    ];
  }

  try(data: Buffer, begin: number): Trial {
    this.#read = 0;
    return this.#tryOneWay(data, begin) ?? this.#tryAllWays(data, begin);
  }

  /** Undefined where a byte may be what it is or begin an escape: nowhere else do ways part. */
  #tryOneWay(data: Buffer, begin: number): Trial | undefined {
    const bytes = this.#bytes;
    let written: number = WRITTEN.plain;
    let at = begin;
    for (let index = 0; index < bytes.length;) {
      const found = data[at];
      this.#read = at + 1 - begin;
      if (found === undefined) return CUT_OFF;
      const wanted = bytes[index] ?? 0;
      if (isIntroducer(found)) {
        const ways = this.#ways[index]?.get(found);
        if (ways !== undefined) {
          if (found === wanted) return undefined;
          const way = findWay(data, at, ways);
          if (way === null) return NO_MATCH;
          if (way === "partial") return CUT_OFF;
          written |= way.written;
          at += way.bytes.length;
          index += way.bytesFor;
          continue;
        }
      }
      if (found !== wanted) {
        if (!this.#anyCase || !differInCase(found, wanted)) return NO_MATCH;
        written |= WRITTEN.otherCase;
      }
      index += 1;
      at += 1;
    }
    return { end: at, written, partial: false };
  }

  #tryAllWays(data: Buffer, begin: number): Trial {
    const reading: Reading = { data, begin, end: -1, written: 0, partial: false, open: [], partings: null };
    let state: State | undefined = { index: 0, at: begin, written: WRITTEN.plain };
    for (; state !== undefined; state = reading.open.pop()) this.#follow(reading, state);
    return reading;
  }

  /** Reads on as long as there is one way to, and leaves the others open. */
  #follow(reading: Reading, state: State): void {
    const { data } = reading;
    const bytes = this.#bytes;
    for (;;) {
      const { index, at } = state;
      this.#read += READ_PER_STATE;
      if (index === bytes.length) {
        if (at > reading.end) {
          reading.end = at;
          reading.written = state.written;
        }
        return;
      }
      const found = data[at];
      if (found === undefined) {
        reading.partial = true;
        return;
      }
      if (isIntroducer(found)) {
        if (!this.#readIntroducer(reading, state, found)) return;
        continue;
      }
      const wanted = bytes[index] ?? 0;
      if (found !== wanted) {
        if (!this.#anyCase || !differInCase(found, wanted)) return;
        state.written |= WRITTEN.otherCase;
      }
      state.index += 1;
      state.at += 1;
    }
  }

  /** @returns whether to read on from `state`, which is then behind the escape or the byte */
  #readIntroducer(reading: Reading, state: State, found: number): boolean {
    const { index, at, written } = state;
    const ways = this.#ways[index]?.get(found) ?? NO_WAYS;
    const plain = this.#bytes[index] === found;
    if (plain && ways.length > 0) {
      if (isOldParting(reading, state)) return false;
      if (found === BACKSLASH && this.#readBackslashes(reading, state)) return false;
    }
    let next: State | null = plain ? { index: index + 1, at: at + 1, written } : null;
    for (const way of ways) {
      const length = commonLength(reading.data, at, way.bytes);
      if (length < way.bytes.length) {
        if (at + length === reading.data.length) reading.partial = true;
        continue;
      }
      const after = { index: index + way.bytesFor, at: at + length, written: written | way.written };
      if (next === null) next = after;
      else reading.open.push(after);
    }
    if (next === null) return false;
    Object.assign(state, next);
    return true;
  }

  /**
   * Reads all backslashes in a row at once: which of them are one, two or four does not matter, only how many there are.
   *
   * @returns whether they have been read, so that what follows them is open; not where some are escaped in another way
   */
  #readBackslashes(reading: Reading, { index, at, written }: State): boolean {
    const { data, open } = reading;
    const wanted = this.#backslashes[index] ?? 0;
    const most = BACKSLASHES_FOR_ONE * wanted;
    let found = 1;
    while (found <= most + BACKSLASHES_OF_ESCAPE && data[at + found] === BACKSLASH) found += 1;
    const goesOn = found > most + BACKSLASHES_OF_ESCAPE;
    if (!goesOn && this.#isBackslashAt(data, at + found, index)) return false;
    const next = index + wanted;
    const isEnd = next === this.#bytes.length;
    if (at + found === data.length && found < most + (isEnd ? 0 : BACKSLASHES_OF_ESCAPE + 1)) reading.partial = true;
    const readOn = (count: number): void => {
      if (count < wanted || count > most || count === most - 1) return;
      const how = count === wanted ? WRITTEN.plain : WRITTEN.backslash | WRITTEN.nested;
      open.push({ index: next, at: at + count, written: written | how });
    };
    if (isEnd) readOn(Math.min(found, most) === most - 1 ? most - 2 : Math.min(found, most));
    else for (let spare = 0; spare <= BACKSLASHES_OF_ESCAPE; spare += 1) readOn(found - spare);
    return true;
  }

  /** Whether backslashes go on behind some with one that is escaped, or may do so when there is more of the text. */
  #isBackslashAt(data: Buffer, at: number, index: number): boolean {
    const isOrMayBe = (from: number, bytes: Buffer): boolean => {
      const length = commonLength(data, from, bytes);
      return length === bytes.length || from + length === data.length;
    };
    const found = data[at];
    if (found === undefined) return false;
    if (isIntroducer(found))
      return (this.#ways[index]?.get(found) ?? NO_WAYS).some(({ bytes }) => isOrMayBe(at, bytes));
    return ESCAPED_BACKSLASHES.some((bytes) => bytes[1] === (found | 0x20) && isOrMayBe(at - 1, bytes));
  }
}

/** None of them begins with another. */
function findWay(data: Buffer, at: number, ways: readonly Way[]): Way | "partial" | null {
  for (const way of ways) {
    const length = commonLength(data, at, way.bytes);
    if (length === way.bytes.length) return way;
    if (at + length === data.length) return "partial";
  }
  return null;
}

/** Whether what follows here, a byte as it is or an escape, has been read on from before; notes it. */
function isOldParting(reading: Reading, { index, at }: State): boolean {
  const key = index * MAX_READ_BYTES + (at - reading.begin);
  reading.partings ??= new Set();
  if (reading.partings.has(key)) return true;
  reading.partings.add(key);
  return false;
}

/** How many there are in a row, from each byte on. */
function countBackslashes(bytes: Buffer): number[] {
  const counts: number[] = [];
  for (let index = bytes.length - 1; index >= 0; index -= 1) {
    counts[index] = bytes[index] === BACKSLASH ? (counts[index + 1] ?? 0) + 1 : 0;
  }
  return counts;
}
