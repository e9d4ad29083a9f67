/** Names below `in-addr.arpa` and `ip6.arpa`, which stand for addresses (RFC 1035, RFC 3596). The names are the guest's. */
import { findAddress, formatAddress } from "../../policy/ip-address.ts";

/** Whether the name is of a reverse zone at all. @param name in lower case */
export function isReverseName(name: string): boolean {
  return /(?:^|\.)(?:in-addr|ip6)\.arpa$/.test(name);
}

/** The address, canonical; undefined for a zone above addresses. @param name in lower case */
export function findReverseAddress(name: string): string | undefined {
  const ipv4 = /^(\d{1,3}(?:\.\d{1,3}){3})\.in-addr\.arpa$/.exec(name)?.[1];
  const ipv6 = /^([0-9a-f](?:\.[0-9a-f]){31})\.ip6\.arpa$/.exec(name)?.[1];
  const text = ipv4?.split(".").toReversed().join(".") ?? (ipv6 === undefined ? "" : joinNibbles(ipv6));
  const address = findAddress(text);
  return address === undefined ? undefined : formatAddress(address);
}

function joinNibbles(nibbles: string): string {
  const digits = nibbles.split(".").toReversed().join("");
  return digits.match(/.{4}/g)?.join(":") ?? "";
}
