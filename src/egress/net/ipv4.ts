/** Reads IPv4 headers of the guest (RFC 791). Options are skipped; fragments are refused: the link's MTU is IPv4's. */
import type { DropKind } from "./counters.ts";
import { fold } from "./frame-memory.ts";
import { type Packet, readShort, readWord } from "./packet.ts";

const HEADER_BYTES = 20;
/** More fragments, and the offset; not "don't fragment". */
const FRAGMENT_BITS = 0x3fff;

/** Fills `packet` from the header at `begin`; says why not, or undefined. */
export function readIpv4(packet: Packet, bytes: Buffer, begin: number, end: number): DropKind | undefined {
  if (end - begin < HEADER_BYTES) return "malformed";
  const first = bytes[begin] ?? 0;
  const headerBytes = (first & 0xf) * 4;
  const length = readShort(bytes, begin + 2);
  if (first >> 4 !== 4 || headerBytes < HEADER_BYTES || headerBytes > length) return "malformed";
  // Behind a short packet there is padding, up to Ethernet's 60 bytes.
  if (length > end - begin || !hasValidChecksum(bytes, begin, headerBytes)) return "malformed";
  if ((readShort(bytes, begin + 6) & FRAGMENT_BITS) !== 0) return "fragment";
  packet.bytes = bytes;
  packet.version = 4;
  packet.hopLimit = bytes[begin + 8] ?? 0;
  packet.protocol = bytes[begin + 9] ?? 0;
  packet.headerBegin = begin;
  packet.begin = begin + headerBytes;
  packet.end = begin + length;
  packet.source0 = packet.source1 = packet.source2 = 0;
  packet.target0 = packet.target1 = packet.target2 = 0;
  packet.source3 = readWord(bytes, begin + 12);
  packet.target3 = readWord(bytes, begin + 16);
  return undefined;
}

export function isIpv4Multicast(word: number): boolean {
  return word >>> 28 === 0xe || word === -1;
}

function hasValidChecksum(bytes: Buffer, begin: number, headerBytes: number): boolean {
  let sum = 0;
  for (let at = begin; at < begin + headerBytes; at += 2) sum += readShort(bytes, at);
  return fold(sum) === 0xffff;
}
