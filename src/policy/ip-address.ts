/**
 * IP addresses and ranges of them: strict text forms in, one canonical form out. An IPv6 address that stands for an
 * IPv4 one (`::ffff:0:0/96`) is that IPv4 address here, so nothing has to be said twice. Input may be hostile.
 */
import { isIPv4, isIPv6 } from "node:net";

export interface IpAddress {
  family: 4 | 6;
  /** Of 32 or 128 bits. */
  value: bigint;
}

export interface IpRange {
  family: 4 | 6;
  /** Without bits below the prefix. */
  first: bigint;
  prefix: number;
}

const MAPPED_PREFIX = 0xffffn;
/** RFC 6052, what a translating network puts before an IPv4 address: `64:ff9b::/96`. */
const NAT64_PREFIX = 0x64_ff9b_0000_0000_0000_0000n;
/** Longest text of an address: 8 groups, or 6 and an IPv4 address. */
const MAX_ADDRESS_LENGTH = 45;

export function widthOf(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

/** Reads four decimal numbers without leading zeros, or IPv6 without brackets and zone. Undefined for all else. */
export function findAddress(text: string): IpAddress | undefined {
  if (text.length > MAX_ADDRESS_LENGTH) return undefined;
  if (isIPv4(text)) return { family: 4, value: BigInt(ipv4Value(text)) };
  if (!text.includes(":") || text.includes("%") || !isIPv6(text)) return undefined;
  const value = ipv6Value(text);
  return value >> 32n === MAPPED_PREFIX ? { family: 4, value: value & 0xffff_ffffn } : { family: 6, value };
}

/** Dotted numbers, or as RFC 5952 says. */
export function formatAddress({ family, value }: IpAddress): string {
  if (family === 4) {
    const bits = Number(value);
    return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
  }
  const groups = Array.from({ length: 8 }, (_, at) => Number((value >> BigInt(112 - 16 * at)) & 0xffffn));
  const { start, length } = longestZeros(groups);
  const hex = groups.map((group) => group.toString(16));
  if (length < 2) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

/** The address as a range of its own. */
export function rangeOf({ family, value }: IpAddress): IpRange {
  return { family, first: value, prefix: widthOf(family) };
}

/** Reads a canonical address or CIDR range. Undefined for all else. */
export function findRange(text: string): IpRange | undefined {
  const slash = text.indexOf("/");
  if (slash === -1) {
    const address = findAddress(text);
    return address === undefined ? undefined : rangeOf(address);
  }
  const length = text.slice(slash + 1);
  const address = findAddress(text.slice(0, slash));
  if (address === undefined || !/^(?:0|[1-9]\d{0,2})$/.test(length)) return undefined;
  // A range that was written as IPv6 and lies in the mapped part is a range of IPv4 addresses.
  const prefix = address.family === 4 && text.includes(":") ? Number(length) - 96 : Number(length);
  if (prefix < 0 || prefix > widthOf(address.family)) return undefined;
  return { family: address.family, first: firstOf(address, prefix), prefix };
}

/** The first address of the range of `prefix` bits that contains `address`. */
export function firstOf(address: IpAddress, prefix: number): bigint {
  const below = BigInt(widthOf(address.family) - prefix);
  return (address.value >> below) << below;
}

/** As findRange reads it: without `/` where it is one address. */
export function formatRange({ family, first, prefix }: IpRange): string {
  const text = formatAddress({ family, value: first });
  return prefix === widthOf(family) ? text : `${text}/${prefix}`;
}

export function rangeContains(range: IpRange, address: IpAddress): boolean {
  if (range.family !== address.family) return false;
  const below = BigInt(widthOf(range.family) - range.prefix);
  return range.first >> below === address.value >> below;
}

/** The IPv4 address that a translating network reaches by `address`. */
export function findTranslated(address: IpAddress): IpAddress | undefined {
  if (address.family !== 6 || address.value >> 32n !== NAT64_PREFIX) return undefined;
  return { family: 4, value: address.value & 0xffff_ffffn };
}

/** @param text checked */
function ipv4Value(text: string): number {
  let value = 0;
  for (const part of text.split(".")) value = value * 256 + Number(part);
  return value;
}

/** @param text checked */
function ipv6Value(text: string): bigint {
  const [head = "", tail] = text.split("::");
  const before = hexOf(head);
  const after = tail === undefined ? "" : hexOf(tail);
  return BigInt(`0x${before.padEnd(32 - after.length, "0")}${after}`);
}

/** Four digits a group. */
function hexOf(groups: string): string {
  if (groups === "") return "";
  let hex = "";
  for (const group of groups.split(":")) {
    hex += group.includes(".") ? ipv4Value(group).toString(16).padStart(8, "0") : group.padStart(4, "0");
  }
  return hex;
}

/** The first of the longest runs of zeros. */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let at = 0; at <= groups.length; at++) {
    if (groups[at] === 0) continue;
    if (at - start > best.length) best = { start, length: at - start };
    start = at + 1;
  }
  return best;
}
