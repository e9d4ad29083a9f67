/** An IP address as the bytes that certificates carry. */
import { isIPv4, isIPv6 } from "node:net";

const IPV6_GROUPS = 8;

/**
 * @param address IPv4 or IPv6, without brackets and zone
 * @returns 4 or 16 bytes
 * @throws TypeError for anything else
 */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  if (!isIPv6(address) || address.includes("%")) throw new TypeError(`not an IP address: '${address}'`);
  const [head = "", tail] = withoutDottedQuad(address).split("::");
  const left = groups(head);
  const right = groups(tail ?? "");
  const gap = tail === undefined ? 0 : IPV6_GROUPS - left.length - right.length;
  const all = [...left, ...Array<number>(gap).fill(0), ...right];
  return Buffer.from(all.flatMap((group) => [group >>> 8, group & 0xff]));
}

function groups(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

/** `::ffff:1.2.3.4` is written as `::ffff:102:304`. */
function withoutDottedQuad(address: string): string {
  const at = address.lastIndexOf(":") + 1;
  const last = address.slice(at);
  if (!last.includes(".")) return address;
  const [a = 0, b = 0, c = 0, d = 0] = last.split(".").map(Number);
  return `${address.slice(0, at)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}
