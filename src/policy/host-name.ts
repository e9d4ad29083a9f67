/**
 * The one place where a host becomes canonical: rules, the guest's names (DNS, SNI, `Host`, `:authority`, CONNECT) and
 * its addresses all go through here, so that one host has one spelling. Input may be hostile.
 *
 * What other software might take for an address although it is not one in the strict form (`2130706433`, `0x7f.1`,
 * `0177.0.0.1`, `127.1`, digits of other scripts) is refused and never becomes a name.
 */
import { domainToASCII } from "node:url";
import { findAddress, formatAddress, type IpAddress } from "./ip-address.ts";

/** The name by which a guest reaches its host's own loopback. Only a rule that names it and a port opens it. */
export const HOST_LOOPBACK_NAME = "host.sbx.internal";

/** RFC 1035, without the final dot. */
export const MAX_NAME_LENGTH = 253;
const MAX_LABEL_LENGTH = 63;
/** A name in other scripts may be longer than its A-labels' limit; nothing near this is a name. */
const MAX_INPUT_LENGTH = 1024;

const CANONICAL_NAME = /^[a-z0-9_][a-z0-9_-]*(?:\.[a-z0-9_][a-z0-9_-]*)*$/;
/** WHATWG URL, "ends in a number": software that follows it takes such a host for an address. */
const ENDS_IN_NUMBER = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/;

export type HostReading =
  | { kind: "name"; host: string }
  | { kind: "address"; host: string; address: IpAddress }
  /** `why` continues the sentence "X is not a host: …". */
  | { kind: "refused"; why: string };

/** Reads a name, an IPv4 address, or an IPv6 address with or without brackets; nothing with a port. */
export function readHost(text: string): HostReading {
  if (text.length > MAX_INPUT_LENGTH) return refused("it is too long");
  if (text.includes(":") || text.startsWith("[")) return readIpv6(text);
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  const address = findAddress(name);
  if (address !== undefined) return { kind: "address", host: formatAddress(address), address };
  return readName(name);
}

/** The host's canonical form, or `null` for what is no host. */
export function canonicalHost(text: string): string | null {
  const reading = readHost(text);
  return reading.kind === "refused" ? null : reading.host;
}

function readIpv6(text: string): HostReading {
  if (text.includes("%")) return refused("addresses with a zone are not reachable");
  const bracketed = text.startsWith("[");
  if (bracketed !== text.endsWith("]")) return refused("a bracket is missing");
  const inner = bracketed ? text.slice(1, -1) : text;
  const address = inner.includes(":") ? findAddress(inner) : undefined;
  if (address === undefined) return refused("it is not an IPv6 address");
  return { kind: "address", host: formatAddress(address), address };
}

function readName(text: string): HostReading {
  if (text === "") return refused("it is empty");
  const ascii = isAscii(text) ? text.toLowerCase() : toAscii(text);
  if (ascii === undefined) return refused("it is not a valid internationalized name");
  if (ascii.length > MAX_NAME_LENGTH) return refused(`a name has up to ${MAX_NAME_LENGTH} characters`);
  if (ENDS_IN_NUMBER.test(ascii)) return refused("an IPv4 address is four decimal numbers without leading zeros");
  if (!CANONICAL_NAME.test(ascii)) return refused(whyNoName(ascii));
  if (longestLabel(ascii) > MAX_LABEL_LENGTH) return refused(`a label has up to ${MAX_LABEL_LENGTH} characters`);
  return { kind: "name", host: ascii };
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}

function toAscii(text: string): string | undefined {
  // domainToASCII also decodes percent-encoding and stops at a slash; neither is part of a name.
  if (/[\u0000-\u0020%/\\?#@:[\]<>^|\u007f]/.test(text)) return undefined;
  const ascii = domainToASCII(text);
  return ascii === "" ? undefined : ascii.replace(/\.$/, "");
}

function longestLabel(name: string): number {
  let longest = 0;
  for (let start = 0; start <= name.length;) {
    const dot = name.indexOf(".", start);
    const end = dot === -1 ? name.length : dot;
    longest = Math.max(longest, end - start);
    start = end + 1;
  }
  return longest;
}

function whyNoName(name: string): string {
  if (name.includes("%")) return "names are not percent-encoded";
  if (/\s/.test(name)) return "names have no spaces";
  if (name.includes("*")) return "a * stands only for whole labels at the beginning, as in *.example.com";
  if (name.startsWith(".") || name.includes("..")) return "a label is empty";
  if (/(?:^|\.)-/.test(name)) return "a label begins with a hyphen";
  return "names consist of letters, digits, hyphens, underscores and dots";
}

function refused(why: string): HostReading {
  return { kind: "refused", why };
}
