/** An IP address as four 32-bit words, so that packets are compared without making strings. */
import { isIPv4 } from "node:net";

export type IpVersion = 4 | 6;

/** IPv4 lives in `word3`; the other words are 0. Words are signed, as bit operations make them. */
export class IpAddress {
  readonly version: IpVersion;
  readonly word0: number;
  readonly word1: number;
  readonly word2: number;
  readonly word3: number;
  /** Of its 16-bit halves, for checksums. */
  readonly sum: number;

  constructor(version: IpVersion, word0: number, word1: number, word2: number, word3: number) {
    this.version = version;
    this.word0 = word0;
    this.word1 = word1;
    this.word2 = word2;
    this.word3 = word3;
    this.sum = halves(word0) + halves(word1) + halves(word2) + halves(word3);
  }

  /** Canonical form: dotted, or RFC 5952. */
  toString(): string {
    return this.version === 4 ? formatIpv4(this.word3) : formatIpv6([this.word0, this.word1, this.word2, this.word3]);
  }
}

/** @throws TypeError */
export function parseIpAddress(text: string): IpAddress {
  if (isIPv4(text)) return new IpAddress(4, 0, 0, 0, parseIpv4(text));
  const groups = findGroups(text);
  if (groups === undefined) throw new TypeError(`not an IP address: '${text}'`);
  const word = (at: number): number => ((groups[at] ?? 0) << 16) | (groups[at + 1] ?? 0);
  return new IpAddress(6, word(0), word(2), word(4), word(6));
}

/**
 * The eight groups of an IPv6 address without a zone (RFC 4291, section 2.2); undefined for all else. Not by node:net's
 * `isIPv6`, whose expression takes 4 ms to compile, at the start of every sandbox.
 */
function findGroups(text: string): number[] | undefined {
  const [left, right, ...more] = (expandDotted(text) ?? "").split("::").map((part) => part.split(":"));
  if (left === undefined || more.length > 0) return undefined;
  const sides = [left, right ?? []].map((side) => (side.length === 1 && side[0] === "" ? [] : side));
  const [before = [], after = []] = sides;
  const missing = 8 - before.length - after.length;
  if (right === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...before, ...Array.from({ length: missing }, () => "0"), ...after];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.map((group) => Number.parseInt(group, 16));
}

function parseIpv4(text: string): number {
  return text.split(".").reduce((word, part) => (word << 8) | Number(part), 0);
}

/** `::ffff:1.2.3.4` as `::ffff:102:304`; undefined for a dotted end that is none. */
function expandDotted(text: string): string | undefined {
  const at = text.lastIndexOf(":") + 1;
  if (!text.includes(".")) return text;
  if (!isIPv4(text.slice(at))) return undefined;
  const word = parseIpv4(text.slice(at));
  return `${text.slice(0, at)}${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}`;
}

function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

function formatIpv6(words: readonly number[]): string {
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) return `::ffff:${formatIpv4(words[3] ?? 0)}`;
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]);
  const { begin, length } = longestZeroRun(groups);
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  if (length < 2) return hex(groups);
  return `${hex(groups.slice(0, begin))}::${hex(groups.slice(begin + length))}`;
}

function longestZeroRun(groups: readonly number[]): { begin: number; length: number } {
  let best = { begin: 0, length: 0 };
  let begin = 0;
  for (const [at, group] of groups.entries()) {
    if (group !== 0) begin = at + 1;
    else if (at + 1 - begin > best.length) best = { begin, length: at + 1 - begin };
  }
  return best;
}

function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}
