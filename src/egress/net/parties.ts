/** The two machines on the link. */
import type { NetAddresses } from "./addresses.ts";
import { type IpAddress, parseIpAddress } from "./ip-address.ts";

export interface LinkParties {
  readonly gatewayMac: Buffer;
  readonly guestMac: Buffer;
  readonly gateway4: IpAddress;
  readonly guest4: IpAddress;
  /** The guest's loopback, for servers that listen nowhere else. Nobody but this side opens connections with it. */
  readonly loopback4: IpAddress;
  readonly gateway6: IpAddress;
  readonly guest6: IpAddress;
  isGuestMac(bytes: Buffer, at: number): boolean;
  isGatewayMac(bytes: Buffer, at: number): boolean;
}

/** @throws TypeError */
export function parseParties(addresses: NetAddresses): LinkParties {
  const gatewayMac = parseMac(addresses.gatewayMac);
  const guestMac = parseMac(addresses.guestMac);
  return {
    gatewayMac,
    guestMac,
    gateway4: parseIpAddress(addresses.gatewayIpv4),
    guest4: parseIpAddress(addresses.guestIpv4),
    loopback4: parseIpAddress("127.0.0.1"),
    gateway6: parseIpAddress(addresses.gatewayIpv6),
    guest6: parseIpAddress(addresses.guestIpv6),
    isGuestMac: (bytes, at) => isMac(guestMac, bytes, at),
    isGatewayMac: (bytes, at) => isMac(gatewayMac, bytes, at),
  };
}

function parseMac(text: string): Buffer {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text)) throw new TypeError(`not a MAC address: '${text}'`);
  return Buffer.from(text.replaceAll(":", ""), "hex");
}

function isMac(mac: Buffer, bytes: Buffer, at: number): boolean {
  for (let index = 0; index < 6; index++) if (bytes[at + index] !== mac[index]) return false;
  return true;
}
