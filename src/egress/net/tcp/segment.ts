/**
 * TCP headers of the guest (RFC 9293). The checksum is not verified: the link is a Unix socket, which loses and changes
 * nothing, so a wrong sum says only that the guest wants it so. Such a segment is then what its bytes say, exactly as if
 * its sum were right: both ends agree on what was acknowledged, and nothing is learnt from it that a right sum would not
 * say. (A guest whose network card is told to leave sums to the host has none; QEMU's stream back end has no such card.)
 */
import type { Packet } from "../packet.ts";
import { readShort, readWord } from "../packet.ts";

export const FLAG = { fin: 0x01, syn: 0x02, rst: 0x04, psh: 0x08, ack: 0x10 } as const;
export const TCP_HEADER_BYTES = 20;
/** What a peer takes that does not say (RFC 9293, 3.7.1). */
const DEFAULT_MSS = 536;
/** A smaller one only makes the host work for nothing; Linux has the same floor. */
const MIN_MSS = 48;
const MAX_WINDOW_SCALE = 14;
const OPTION = { end: 0, nothing: 1, mss: 2, windowScale: 3 } as const;

/** The segment that is being read: one object for all, valid until the next frame. */
export class Segment {
  bytes: Buffer = Buffer.alloc(0);
  sourcePort = 0;
  targetPort = 0;
  sequence = 0;
  ack = 0;
  flags = 0;
  /** As it is written, not yet scaled. */
  window = 0;
  optionsBegin = 0;
  /** Of the payload. */
  begin = 0;
  end = 0;

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  /** Sequence numbers that it takes. */
  get span(): number {
    return this.end - this.begin + (this.flags & FLAG.fin) + ((this.flags & FLAG.syn) >> 1);
  }
}

/** Fills `segment`; false if the header is malformed. */
export function readSegment(segment: Segment, packet: Packet): boolean {
  const { bytes, begin, end } = packet;
  if (end - begin < TCP_HEADER_BYTES) return false;
  const headerBytes = ((bytes[begin + 12] ?? 0) >> 4) * 4;
  if (headerBytes < TCP_HEADER_BYTES || headerBytes > end - begin) return false;
  segment.bytes = bytes;
  segment.sourcePort = readShort(bytes, begin);
  segment.targetPort = readShort(bytes, begin + 2);
  segment.sequence = readWord(bytes, begin + 4);
  segment.ack = readWord(bytes, begin + 8);
  segment.flags = bytes[begin + 13] ?? 0;
  segment.window = readShort(bytes, begin + 14);
  segment.optionsBegin = begin + TCP_HEADER_BYTES;
  segment.begin = begin + headerBytes;
  segment.end = end;
  return segment.sourcePort !== 0 && segment.targetPort !== 0;
}

export interface SynOptions {
  mss: number;
  /** Undefined: the guest does not scale windows, so neither side does. */
  windowScale: number | undefined;
}

/** What a SYN offers. Options that do not fit are the end of them. */
export function readSynOptions(segment: Segment): SynOptions {
  const options: SynOptions = { mss: DEFAULT_MSS, windowScale: undefined };
  const { bytes, begin: end } = segment;
  let at = segment.optionsBegin;
  while (at < end) {
    const kind = bytes[at];
    if (kind === OPTION.end) break;
    if (kind === OPTION.nothing) {
      at++;
      continue;
    }
    const length = at + 1 < end ? (bytes[at + 1] ?? 0) : 0;
    if (length < 2 || at + length > end) break;
    if (kind === OPTION.mss && length === 4) options.mss = Math.max(MIN_MSS, readShort(bytes, at + 2));
    if (kind === OPTION.windowScale && length === 3)
      options.windowScale = Math.min(MAX_WINDOW_SCALE, bytes[at + 2] ?? 0);
    at += length;
  }
  return options;
}

/** How far `a` is ahead of `b`: sequence numbers wrap. */
export function ahead(a: number, b: number): number {
  return (a - b) | 0;
}
