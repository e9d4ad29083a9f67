/** ARP (RFC 826): tells the guest who the gateway is, and nothing else. Nothing is learnt from what the guest says. */
import { type IpOutput, ETHER_TYPE, writeShort, writeWord } from "./ip-output.ts";
import { readWord } from "./packet.ts";
import type { LinkParties } from "./parties.ts";

const PACKET_BYTES = 28;
const REQUEST = 1;
const REPLY = 2;

/** Says whether it was a request for the gateway. */
export function answerArp(
  output: IpOutput,
  parties: LinkParties,
  frame: { bytes: Buffer; begin: number; end: number },
): boolean {
  const { bytes, begin, end } = frame;
  if (end - begin < PACKET_BYTES) return false;
  // Ethernet and IPv4, with addresses of 6 and 4 bytes.
  if (readWord(bytes, begin) !== 0x0001_0800 || readWord(bytes, begin + 4) !== (0x0604_0000 | REQUEST)) return false;
  if (!parties.isGuestMac(bytes, begin + 8) || readWord(bytes, begin + 24) !== parties.gateway4.word3) return false;
  const sender = readWord(bytes, begin + 14);
  // 0.0.0.0 asks whether the address is free (RFC 5227); it is not.
  if (sender !== parties.guest4.word3 && sender !== 0) return false;
  const at = output.beginEthernet(ETHER_TYPE.arp, PACKET_BYTES);
  if (at < 0) return true;
  const { memory } = output;
  writeWord(memory, at, 0x0001_0800);
  writeShort(memory, at + 4, 0x0604);
  writeShort(memory, at + 6, REPLY);
  memory.set(parties.gatewayMac, at + 8);
  writeWord(memory, at + 14, parties.gateway4.word3);
  memory.set(parties.guestMac, at + 18);
  writeWord(memory, at + 24, sender);
  return true;
}
