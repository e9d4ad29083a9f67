/**
 * ICMP (RFC 792): answers echo requests to the gateway, and says "port unreachable" for datagrams that go nowhere. What
 * the guest says by ICMP is never believed.
 */
import { type IpOutput, writeShort, writeWord } from "./ip-output.ts";
import { type Packet, PROTOCOL } from "./packet.ts";
import type { LinkParties } from "./parties.ts";

const HEADER_BYTES = 8;
const ECHO_REPLY = 0;
const ECHO_REQUEST = 8;
const PORT_UNREACHABLE = 0x0303;
/** Behind the quoted IP header: enough for the guest to find the socket. */
const QUOTED_BYTES = 8;
const MAX_QUOTED_BYTES = 128;

/** Says whether it was a request that is answered. */
export function answerEcho(output: IpOutput, parties: LinkParties, packet: Packet): boolean {
  const length = packet.end - packet.begin;
  if (length < HEADER_BYTES || packet.bytes[packet.begin] !== ECHO_REQUEST) return false;
  if (packet.bytes[packet.begin + 1] !== 0 || !packet.isTo(parties.gateway4)) return false;
  const at = output.begin(parties.gateway4, parties.guest4, PROTOCOL.icmp, length);
  if (at < 0) return true;
  const { memory } = output;
  packet.bytes.copy(memory, at, packet.begin, packet.end);
  writeWord(memory, at, ECHO_REPLY << 24);
  writeShort(memory, at + 2, output.plainChecksum(at, length));
  return true;
}

export function sendPortUnreachable(output: IpOutput, parties: LinkParties, packet: Packet): void {
  const quotedEnd = Math.min(packet.end, packet.begin + QUOTED_BYTES, packet.headerBegin + MAX_QUOTED_BYTES);
  const length = HEADER_BYTES + quotedEnd - packet.headerBegin;
  // From the address that was asked: clients with a connected socket take it from nobody else.
  const at = output.begin(packet.target(), parties.guest4, PROTOCOL.icmp, length);
  if (at < 0) return;
  const { memory } = output;
  writeWord(memory, at, PORT_UNREACHABLE << 16);
  writeWord(memory, at + 4, 0);
  packet.bytes.copy(memory, at + HEADER_BYTES, packet.headerBegin, quotedEnd);
  writeShort(memory, at + 2, output.plainChecksum(at, length));
}
