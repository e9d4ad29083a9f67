/** Reads IPv6 headers of the guest (RFC 8200). A few extension headers are skipped; fragments are refused. */
import type { DropKind } from "./counters.ts";
import { type Packet, readShort, readWord } from "./packet.ts";

const HEADER_BYTES = 40;
/** Nobody needs more before TCP, and each costs time. */
const MAX_EXTENSIONS = 4;
const EXTENSION = { hopByHop: 0, routing: 43, fragment: 44, destination: 60 } as const;

/** Fills `packet` from the header at `begin`; says why not, or undefined. */
export function readIpv6(packet: Packet, bytes: Buffer, begin: number, end: number): DropKind | undefined {
  if (end - begin < HEADER_BYTES || (bytes[begin] ?? 0) >> 4 !== 6) return "malformed";
  const length = readShort(bytes, begin + 4);
  // A jumbogram (RFC 2675) has length 0 and does not fit the link.
  if (length > end - begin - HEADER_BYTES) return "malformed";
  packet.bytes = bytes;
  packet.version = 6;
  packet.protocol = bytes[begin + 6] ?? 0;
  packet.hopLimit = bytes[begin + 7] ?? 0;
  packet.headerBegin = begin;
  packet.begin = begin + HEADER_BYTES;
  packet.end = begin + HEADER_BYTES + length;
  packet.source0 = readWord(bytes, begin + 8);
  packet.source1 = readWord(bytes, begin + 12);
  packet.source2 = readWord(bytes, begin + 16);
  packet.source3 = readWord(bytes, begin + 20);
  packet.target0 = readWord(bytes, begin + 24);
  packet.target1 = readWord(bytes, begin + 28);
  packet.target2 = readWord(bytes, begin + 32);
  packet.target3 = readWord(bytes, begin + 36);
  return skipExtensions(packet, bytes);
}

export function isIpv6Multicast(word0: number): boolean {
  return word0 >>> 24 === 0xff;
}

function skipExtensions(packet: Packet, bytes: Buffer): DropKind | undefined {
  for (let count = 0; ; count++) {
    switch (packet.protocol) {
      case EXTENSION.fragment:
        return "fragment";
      case EXTENSION.hopByHop:
      case EXTENSION.destination:
      case EXTENSION.routing:
        break;
      default:
        return undefined;
    }
    if (count === MAX_EXTENSIONS || packet.end - packet.begin < 8) return "malformed";
    // The target of a packet with segments left is not its last one; the kernel sends no such packet by itself.
    if (packet.protocol === EXTENSION.routing && bytes[packet.begin + 3] !== 0) return "malformed";
    const extensionBytes = ((bytes[packet.begin + 1] ?? 0) + 1) * 8;
    if (extensionBytes > packet.end - packet.begin) return "malformed";
    packet.protocol = bytes[packet.begin] ?? 0;
    packet.begin += extensionBytes;
  }
}
