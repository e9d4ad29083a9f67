/**
 * Addresses of the link between guest and gateway. 198.18.0.0/15 is reserved for benchmarks (RFC 2544), so neither a
 * host's network nor the Internet uses it; 198.18.0.0/16 and fd73:6278:0:1::/64 are the resolver's, for names.
 */

export interface NetAddresses {
  gatewayMac: string;
  guestMac: string;
  gatewayIpv4: string;
  guestIpv4: string;
  ipv4PrefixLength: number;
  gatewayIpv6: string;
  guestIpv6: string;
  ipv6PrefixLength: number;
}

/** The gateway's addresses are the resolver's as well. */
export const NET_ADDRESSES: NetAddresses = {
  gatewayMac: "52:54:00:73:62:01",
  guestMac: "52:54:00:73:62:02",
  gatewayIpv4: "198.19.0.1",
  guestIpv4: "198.19.0.2",
  ipv4PrefixLength: 24,
  gatewayIpv6: "fd73:6278::1",
  guestIpv6: "fd73:6278::2",
  ipv6PrefixLength: 64,
};

/** The largest that Linux lets virtio-net have in common with IPv4's 65,535 and leaves room for a header. */
export const LINK_MTU_BYTES = 65_520;
