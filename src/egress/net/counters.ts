/** What happened on the link, for the audit log and for tests of its bounds. */

/** Why something that the guest sent went no further. */
export type DropKind =
  /** UDP to anything but the resolver. */
  | "udp"
  /** ICMP and ICMPv6 that is no echo request to the gateway. */
  | "icmp"
  /** Another IP protocol or another EtherType. */
  | "protocol"
  | "fragment"
  /** A header that contradicts itself or its frame. */
  | "malformed"
  /** From a source that is not the guest's, or to a machine that is not the gateway. */
  | "spoofed"
  /** Multicast and broadcast that nobody here listens to. */
  | "multicast"
  /** A SYN beyond the limits on flows. */
  | "limit";

export interface NetCounters {
  framesIn: number;
  framesOut: number;
  bytesIn: number;
  bytesOut: number;
  dropped: Record<DropKind, number>;
  /** SYNs that were handed on. */
  flows: number;
  resetsSent: number;
  retransmits: number;
  /** Segments that the budget for received data had no room for; the guest repeats them. */
  memoryDrops: number;
  /** Answers that were left out because the guest does not take what it is sent. */
  answersDropped: number;
}

export function newCounters(): NetCounters {
  const dropped = { udp: 0, icmp: 0, protocol: 0, fragment: 0, malformed: 0, spoofed: 0, multicast: 0, limit: 0 };
  return {
    ...{ framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0, dropped },
    ...{ flows: 0, resetsSent: 0, retransmits: 0, memoryDrops: 0, answersDropped: 0 },
  };
}
