/**
 * The packet that is being read: one object for all, because thousands a second pass. It is valid until the next frame
 * is read. Everything in it is the guest's.
 */
import { IpAddress, type IpVersion } from "./ip-address.ts";

export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;

export class Packet {
  bytes: Buffer = Buffer.alloc(0);
  version: IpVersion = 4;
  protocol = 0;
  hopLimit = 0;
  /** Of the network layer's header. */
  headerBegin = 0;
  /** Of what the network layer carries. */
  begin = 0;
  end = 0;
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  target0 = 0;
  target1 = 0;
  target2 = 0;
  target3 = 0;

  isFrom(address: IpAddress): boolean {
    return (
      this.source3 === address.word3 &&
      this.source2 === address.word2 &&
      this.source1 === address.word1 &&
      this.source0 === address.word0
    );
  }

  isTo(address: IpAddress): boolean {
    return (
      this.target3 === address.word3 &&
      this.target2 === address.word2 &&
      this.target1 === address.word1 &&
      this.target0 === address.word0
    );
  }

  source(): IpAddress {
    return new IpAddress(this.version, this.source0, this.source1, this.source2, this.source3);
  }

  target(): IpAddress {
    return new IpAddress(this.version, this.target0, this.target1, this.target2, this.target3);
  }
}

/** A signed big-endian word; the caller has checked that it is there. */
export function readWord(bytes: Buffer, at: number): number {
  return ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
}

export function readShort(bytes: Buffer, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
