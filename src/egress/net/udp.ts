/** UDP (RFC 768) between the guest and the resolver. Datagrams to anyone else are answered "port unreachable". */
import type { Endpoint, GuestDatagram } from "../guest-flow.ts";
import type { IpAddress } from "./ip-address.ts";
import { type IpOutput, writeShort } from "./ip-output.ts";
import { type Packet, PROTOCOL, readShort } from "./packet.ts";

const HEADER_BYTES = 8;
export const MAX_REPLY_BYTES = 65_000;

export interface UdpHeader {
  sourcePort: number;
  targetPort: number;
  /** Of the payload. */
  begin: number;
  end: number;
}

/** Undefined if it is malformed. Its checksum is not verified: see `tcp/segment.ts`. */
export function readUdp(packet: Packet): UdpHeader | undefined {
  const { bytes, begin, end } = packet;
  if (end - begin < HEADER_BYTES) return undefined;
  const length = readShort(bytes, begin + 4);
  if (length < HEADER_BYTES || length > end - begin) return undefined;
  return {
    sourcePort: readShort(bytes, begin),
    targetPort: readShort(bytes, begin + 2),
    begin: begin + HEADER_BYTES,
    end: begin + length,
  };
}

/** @param flush called after a reply was built */
export function makeDatagram(output: IpOutput, packet: Packet, header: UdpHeader, flush: () => void): GuestDatagram {
  const source = packet.source();
  const target = packet.target();
  const guest: Endpoint = { address: source.toString(), port: header.sourcePort };
  return {
    guest,
    target: { address: target.toString(), port: header.targetPort },
    payload: Buffer.from(packet.bytes.subarray(header.begin, header.end)),
    reply: (payload) => {
      if (payload.length > MAX_REPLY_BYTES) throw new RangeError(`a datagram of ${payload.length} bytes`);
      sendUdp(output, { address: target, port: header.targetPort }, { address: source, port: guest.port }, payload);
      flush();
    },
  };
}

interface UdpEnd {
  address: IpAddress;
  port: number;
}

function sendUdp(output: IpOutput, from: UdpEnd, to: UdpEnd, payload: Buffer): void {
  const length = HEADER_BYTES + payload.length;
  const at = output.begin(from.address, to.address, PROTOCOL.udp, length);
  if (at < 0) return;
  const { memory } = output;
  writeShort(memory, at, from.port);
  writeShort(memory, at + 2, to.port);
  writeShort(memory, at + 4, length);
  writeShort(memory, at + 6, 0);
  memory.set(payload, at + HEADER_BYTES);
  const sum = output.checksum(from.address, to.address, PROTOCOL.udp, at, length);
  // 0 would mean that there is no checksum.
  writeShort(memory, at + 6, sum === 0 ? 0xffff : sum);
}
