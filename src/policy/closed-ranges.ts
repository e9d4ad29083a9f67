/**
 * Addresses that no mode opens: what is not public, and what this machine has itself. Only a rule that names the address,
 * or a range that lies within the closed one, opens some of it; `0.0.0.0/0` opens nothing here.
 *
 * Addresses for documentation (RFC 5737, RFC 3849) are not among them: they belong to nobody, and a network that uses
 * some of them all the same uses them as public ones.
 *
 * Sources: the IANA registries of special-purpose IPv4 and IPv6 addresses (RFC 6890 and what followed), RFC 6052 and
 * 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), and the clouds' documentation for their metadata services.
 */
import { findRange, findTranslated, formatAddress, type IpAddress, type IpRange, widthOf } from "./ip-address.ts";
import { containsRange, RangeIndex } from "./range-index.ts";

export interface ClosedRange {
  /** With its article, such as `a private address`. */
  description: string;
  /** Bits that a rule must fix at least to open an address of it. */
  prefix: number;
}

const PRIVATE = "a private address";
const LOOPBACK = "a loopback address";
const LINK_LOCAL = "a link-local address";
const METADATA = "the address of a cloud's metadata service";
const MULTICAST = "a multicast address";
const RESERVED = "a reserved address";
const UNSPECIFIED = "an unspecified address";
const OWN = "an address of this machine";

/** Whether this machine has the address itself, at this moment: behind it are services that were not meant for guests. */
export type IsOwnAddress = (address: IpAddress) => boolean;

const CLOSED: Readonly<Record<string, string>> = {
  "0.0.0.0/8": UNSPECIFIED,
  "10.0.0.0/8": PRIVATE,
  "100.64.0.0/10": "an address behind a carrier's NAT",
  "100.100.100.200": METADATA,
  "127.0.0.0/8": LOOPBACK,
  "168.63.129.16": METADATA,
  "169.254.0.0/16": LINK_LOCAL,
  "169.254.169.254": METADATA,
  "169.254.170.2": METADATA,
  "169.254.170.23": METADATA,
  "172.16.0.0/12": PRIVATE,
  "192.0.0.0/24": RESERVED,
  "192.0.0.192": METADATA,
  "192.88.99.0/24": RESERVED,
  "192.168.0.0/16": PRIVATE,
  "198.18.0.0/15": "an address for benchmarks",
  "224.0.0.0/4": MULTICAST,
  "240.0.0.0/4": RESERVED,
  "255.255.255.255": "the broadcast address",
  // Only 2000::/3 holds public addresses; these three are all the rest.
  "::/3": RESERVED,
  "4000::/2": RESERVED,
  "8000::/1": RESERVED,
  "::": UNSPECIFIED,
  "::1": LOOPBACK,
  "64:ff9b:1::/48": "an address behind a local NAT64",
  "100::/64": "a discard-only address",
  // Teredo, ORCHID, benchmarks and other protocols' own; none is a server's.
  "2001::/23": "an address of an IETF protocol, such as Teredo",
  "2002::/16": "a 6to4 address",
  "fc00::/7": "a unique local address",
  "fd00:ec2::254": METADATA,
  "fd00:ec2::23": METADATA,
  "fd20:ce::254": METADATA,
  "fe80::/10": LINK_LOCAL,
  "fec0::/10": "a site-local address",
  "ff00::/8": MULTICAST,
};

const RANGES = Object.entries(CLOSED).map(([text, description]) => {
  const range = findRange(text);
  if (range === undefined) throw new TypeError(`${text} is not a range`);
  return [range, { description, prefix: range.prefix }] as const;
});

const INDEX = new RangeIndex<ClosedRange>(RANGES);

/** The smallest closed range with the address; undefined for a public one. */
export function findClosedRange(address: IpAddress, isOwn: IsOwnAddress = isNobodys): ClosedRange | undefined {
  const translated = findTranslated(address);
  if (translated === undefined) return findUntranslated(address, isOwn);
  const closed = findUntranslated(translated, isOwn);
  if (closed === undefined) return undefined;
  const description = `a NAT64 address of ${formatAddress(translated)}, ${closed.description}`;
  return { description, prefix: closed.prefix + 96 };
}

function findUntranslated(address: IpAddress, isOwn: IsOwnAddress): ClosedRange | undefined {
  const closed = INDEX.find(address)[0]?.[0];
  // The loopback's are this machine's as well, and rules name them as a range.
  if (closed?.description === LOOPBACK || !isOwn(address)) return closed;
  return { description: OWN, prefix: widthOf(address.family) };
}

function isNobodys(): boolean {
  return false;
}

export function isLoopback(address: IpAddress): boolean {
  return findClosedRange(address)?.description === LOOPBACK;
}

/** Whether an allow rule for the range leaves something of it closed. */
export function staysPartlyClosed(range: IpRange): boolean {
  return RANGES.some(([closed]) => closed.prefix > range.prefix && containsRange(range, closed));
}
