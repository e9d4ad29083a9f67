/** Begins frames to the guest: Ethernet and IP headers, and checksums with the pseudo-header (RFC 9293, RFC 8200). */
import type { NetCounters } from "./counters.ts";
import { fold } from "./frame-memory.ts";
import type { IpAddress } from "./ip-address.ts";
import type { LinkWriter } from "./link-writer.ts";
import { PROTOCOL } from "./packet.ts";

export const ETHERNET_BYTES = 14;
export const ETHER_TYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const HOP_LIMIT = 64;
/** Neighbour discovery is believed only from the link itself. */
const NEIGHBOUR_HOP_LIMIT = 255;

export class IpOutput {
  readonly #link: LinkWriter;
  readonly #counters: NetCounters;
  readonly #ethernet: Buffer;

  constructor(link: LinkWriter, counters: NetCounters, macs: { gateway: Buffer; guest: Buffer }) {
    this.#link = link;
    this.#counters = counters;
    this.#ethernet = Buffer.concat([macs.guest, macs.gateway]);
  }

  get memory(): Buffer {
    return this.#link.memory.bytes;
  }

  /** Address of `length` bytes behind an Ethernet header; -1 if there is no room. */
  beginEthernet(etherType: number, length: number): number {
    const at = this.#link.begin(ETHERNET_BYTES + length);
    if (at < 0) return -1;
    this.#counters.framesOut++;
    this.#counters.bytesOut += ETHERNET_BYTES + length;
    const { bytes } = this.#link.memory;
    bytes.set(this.#ethernet, at);
    bytes.writeUInt16BE(etherType, at + 12);
    return at + ETHERNET_BYTES;
  }

  /** Address of `length` bytes behind an IP header; -1 if there is no room. */
  begin(source: IpAddress, target: IpAddress, protocol: number, length: number): number {
    return source.version === 4
      ? this.#beginIpv4(source, target, protocol, length)
      : this.#beginIpv6(source, target, protocol, length);
  }

  /** Checksum of the `length` bytes at `at`, whose own field is 0, with their pseudo-header. */
  checksum(source: IpAddress, target: IpAddress, protocol: number, at: number, length: number): number {
    const words = this.#link.memory.sum(at, at + length);
    return ~fold(words + source.sum + target.sum + protocol + length) & 0xffff;
  }

  /** Checksum without a pseudo-header, as ICMP has it. */
  plainChecksum(at: number, length: number): number {
    return ~this.#link.memory.sum(at, at + length) & 0xffff;
  }

  #beginIpv4(source: IpAddress, target: IpAddress, protocol: number, length: number): number {
    const at = this.beginEthernet(ETHER_TYPE.ipv4, IPV4_BYTES + length);
    if (at < 0) return -1;
    const { bytes } = this.#link.memory;
    const total = IPV4_BYTES + length;
    writeWord(bytes, at, 0x4500_0000 | total);
    // No identification, as nothing may be fragmented (RFC 6864).
    writeWord(bytes, at + 4, 0x4000);
    const sum = 0x4500 + total + 0x4000 + ((HOP_LIMIT << 8) | protocol) + source.sum + target.sum;
    writeWord(bytes, at + 8, (HOP_LIMIT << 24) | (protocol << 16) | (~fold(sum) & 0xffff));
    writeWord(bytes, at + 12, source.word3);
    writeWord(bytes, at + 16, target.word3);
    return at + IPV4_BYTES;
  }

  #beginIpv6(source: IpAddress, target: IpAddress, protocol: number, length: number): number {
    const at = this.beginEthernet(ETHER_TYPE.ipv6, IPV6_BYTES + length);
    if (at < 0) return -1;
    const { bytes } = this.#link.memory;
    writeWord(bytes, at, 0x6000_0000);
    const hopLimit = protocol === PROTOCOL.icmpv6 ? NEIGHBOUR_HOP_LIMIT : HOP_LIMIT;
    writeWord(bytes, at + 4, (length << 16) | (protocol << 8) | hopLimit);
    writeAddress(bytes, at + 8, source);
    writeAddress(bytes, at + 24, target);
    return at + IPV6_BYTES;
  }
}

export function writeWord(bytes: Buffer, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}

export function writeShort(bytes: Buffer, at: number, short: number): void {
  bytes[at] = short >>> 8;
  bytes[at + 1] = short;
}

export function writeAddress(bytes: Buffer, at: number, address: IpAddress): void {
  writeWord(bytes, at, address.word0);
  writeWord(bytes, at + 4, address.word1);
  writeWord(bytes, at + 8, address.word2);
  writeWord(bytes, at + 12, address.word3);
}
