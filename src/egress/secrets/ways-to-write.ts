/** The ways of escapes.ts in which one place of a sequence may be written, by the byte that they begin with. */
import { type Escape, escapesOfByte, escapesOfCodePoint, WRITTEN } from "./escapes.ts";

export const BACKSLASH = 0x5c;
const PERCENT = 0x25;
const AMPERSAND = 0x26;
const PLUS = 0x2b;
const CASE_BIT = 0x20;

export interface Way extends Escape {
  /** Bytes of the sequence that it stands for. */
  bytesFor: number;
}

/** None for a byte that begins no escape. */
export type Ways = ReadonlyMap<number, readonly Way[]>;

const known = new Map<string, Ways>();

/** @param codePoint the character that begins at the byte; -1 within one */
export function waysToWrite(byte: number, codePoint: number, anyCase: boolean): Ways {
  const key = `${byte} ${codePoint} ${anyCase}`;
  let ways = known.get(key);
  if (ways === undefined) {
    ways = Map.groupBy(findWays(byte, codePoint, anyCase), ({ bytes }) => bytes[0] ?? 0);
    known.set(key, ways);
  }
  return ways;
}

function findWays(byte: number, codePoint: number, anyCase: boolean): Way[] {
  const ways = escapesOfByte(byte).map((escape) => ({ ...escape, bytesFor: 1 }));
  if (codePoint < 0) return ways;
  const bytesFor = byteLength(codePoint);
  ways.push(...escapesOfCodePoint(codePoint).map((escape) => ({ ...escape, bytesFor })));
  // A letter in the other case may be escaped as such.
  if (!anyCase || !isLetter(codePoint)) return ways;
  const others = [...escapesOfByte(byte ^ CASE_BIT), ...escapesOfCodePoint(codePoint ^ CASE_BIT)];
  ways.push(...others.map(({ bytes, written }) => ({ bytes, written: written | WRITTEN.otherCase, bytesFor })));
  return ways;
}

/** How many bytes of an escape are there, whatever the case of its letters. */
export function commonLength(data: Buffer, at: number, wanted: Buffer): number {
  let length = 0;
  for (; length < wanted.length; length += 1) {
    const byte = data[at + length];
    const other = wanted[length] ?? 0;
    if (byte !== other && (byte === undefined || !differInCase(byte, other))) break;
  }
  return length;
}

export function differInCase(byte: number, other: number): boolean {
  return (byte ^ other) === CASE_BIT && isLetter(byte);
}

export function isIntroducer(byte: number): boolean {
  return byte === PERCENT || byte === BACKSLASH || byte === AMPERSAND || byte === PLUS;
}

function byteLength(codePoint: number): number {
  return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x1_0000 ? 3 : 4;
}

function isLetter(byte: number): boolean {
  const lower = byte | CASE_BIT;
  return lower >= 0x61 && lower <= 0x7a;
}
