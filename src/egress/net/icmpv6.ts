/**
 * ICMPv6: neighbour solicitation for the gateway (RFC 4861), echo to the gateway and port unreachable (RFC 4443). The
 * guest is configured by its agent, so there are no router advertisements, and nothing it says is believed.
 */
import { type IpAddress } from "./ip-address.ts";
import { type IpOutput, writeAddress, writeShort, writeWord } from "./ip-output.ts";
import { type Packet, PROTOCOL, readWord } from "./packet.ts";
import type { LinkParties } from "./parties.ts";

const HEADER_BYTES = 8;
const TYPE = { unreachable: 1, echoRequest: 128, echoReply: 129, solicitation: 135, advertisement: 136 } as const;
const PORT_UNREACHABLE_CODE = 4;
const SOLICITATION_BYTES = 24;
const ADVERTISEMENT_BYTES = 32;
/** Router, solicited, override. */
const ADVERTISEMENT_FLAGS = 0xe000_0000;
const TARGET_LINK_LAYER_OPTION = 0x0201;
const QUOTED_BYTES = 48;

/** Says whether it asked for something that is answered. */
export function answerIcmpv6(output: IpOutput, parties: LinkParties, packet: Packet): boolean {
  if (packet.end - packet.begin < HEADER_BYTES || packet.bytes[packet.begin + 1] !== 0) return false;
  switch (packet.bytes[packet.begin]) {
    case TYPE.solicitation:
      return answerSolicitation(output, parties, packet);
    case TYPE.echoRequest:
      return answerEcho(output, parties, packet);
    default:
      return false;
  }
}

export function sendPortUnreachable6(output: IpOutput, parties: LinkParties, packet: Packet): void {
  const quotedEnd = Math.min(packet.end, packet.headerBegin + QUOTED_BYTES);
  const length = HEADER_BYTES + quotedEnd - packet.headerBegin;
  const source = packet.target();
  const at = output.begin(source, parties.guest6, PROTOCOL.icmpv6, length);
  if (at < 0) return;
  const { memory } = output;
  writeWord(memory, at, (TYPE.unreachable << 24) | (PORT_UNREACHABLE_CODE << 16));
  writeWord(memory, at + 4, 0);
  packet.bytes.copy(memory, at + HEADER_BYTES, packet.headerBegin, quotedEnd);
  seal(output, source, parties.guest6, at, length);
}

function answerSolicitation(output: IpOutput, parties: LinkParties, packet: Packet): boolean {
  const { bytes, begin, end } = packet;
  if (packet.hopLimit !== 255 || end - begin < SOLICITATION_BYTES || !asksFor(parties.gateway6, bytes, begin + 8)) {
    return false;
  }
  const guest = packet.source();
  const at = output.begin(parties.gateway6, guest, PROTOCOL.icmpv6, ADVERTISEMENT_BYTES);
  if (at < 0) return true;
  const { memory } = output;
  writeWord(memory, at, TYPE.advertisement << 24);
  writeWord(memory, at + 4, ADVERTISEMENT_FLAGS);
  writeAddress(memory, at + 8, parties.gateway6);
  writeShort(memory, at + 24, TARGET_LINK_LAYER_OPTION);
  memory.set(parties.gatewayMac, at + 26);
  seal(output, parties.gateway6, guest, at, ADVERTISEMENT_BYTES);
  return true;
}

function answerEcho(output: IpOutput, parties: LinkParties, packet: Packet): boolean {
  if (!packet.isTo(parties.gateway6)) return false;
  const length = packet.end - packet.begin;
  const guest = packet.source();
  const at = output.begin(parties.gateway6, guest, PROTOCOL.icmpv6, length);
  if (at < 0) return true;
  packet.bytes.copy(output.memory, at, packet.begin, packet.end);
  writeWord(output.memory, at, TYPE.echoReply << 24);
  seal(output, parties.gateway6, guest, at, length);
  return true;
}

function seal(output: IpOutput, source: IpAddress, target: IpAddress, at: number, length: number): void {
  writeShort(output.memory, at + 2, output.checksum(source, target, PROTOCOL.icmpv6, at, length));
}

function asksFor(address: IpAddress, bytes: Buffer, at: number): boolean {
  return (
    readWord(bytes, at) === address.word0 &&
    readWord(bytes, at + 4) === address.word1 &&
    readWord(bytes, at + 8) === address.word2 &&
    readWord(bytes, at + 12) === address.word3
  );
}
