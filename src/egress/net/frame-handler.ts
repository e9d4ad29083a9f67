/**
 * One Ethernet frame of the guest: whether it is for the gateway, what it carries, and who answers. Everything that is
 * not understood is counted and dropped here.
 */
import type { Endpoint, GuestDatagram } from "../guest-flow.ts";
import { answerArp } from "./arp.ts";
import type { Clock } from "./clock.ts";
import type { DropKind, NetCounters } from "./counters.ts";
import { answerEcho, sendPortUnreachable } from "./icmp.ts";
import { answerIcmpv6, sendPortUnreachable6 } from "./icmpv6.ts";
import { ETHER_TYPE, ETHERNET_BYTES, type IpOutput } from "./ip-output.ts";
import { isIpv4Multicast, readIpv4 } from "./ipv4.ts";
import { isIpv6Multicast, readIpv6 } from "./ipv6.ts";
import { Packet, PROTOCOL, readShort } from "./packet.ts";
import type { LinkParties } from "./parties.ts";
import { RateLimit } from "./rate-limit.ts";
import type { TcpEngine } from "./tcp/engine.ts";
import { makeDatagram, readUdp } from "./udp.ts";

const DNS_PORT = 53;
/** A program tries a few addresses and ports in a row; a flood gets no answers. */
const UNREACHABLES_PER_SECOND = 100;
const REPORTS_PER_SECOND = 50;

export interface FrameHandlerOptions {
  parties: LinkParties;
  counters: NetCounters;
  output: IpOutput;
  clock: Clock;
  engine: TcpEngine;
  onDatagram: (datagram: GuestDatagram) => void;
  onDropped: ((kind: DropKind, target?: Endpoint) => void) | undefined;
  /** Hands over what was built outside of a batch. */
  flush: () => void;
}

export class FrameHandler {
  readonly #parties: LinkParties;
  readonly #counters: NetCounters;
  readonly #output: IpOutput;
  readonly #engine: TcpEngine;
  readonly #options: FrameHandlerOptions;
  readonly #packet = new Packet();
  readonly #unreachables: RateLimit;
  readonly #reports: RateLimit;

  constructor(options: FrameHandlerOptions) {
    this.#options = options;
    this.#parties = options.parties;
    this.#counters = options.counters;
    this.#output = options.output;
    this.#engine = options.engine;
    this.#unreachables = new RateLimit(UNREACHABLES_PER_SECOND, options.clock);
    this.#reports = new RateLimit(REPORTS_PER_SECOND, options.clock);
  }

  receive(bytes: Buffer, begin: number, end: number): void {
    this.#counters.framesIn++;
    this.#counters.bytesIn += end - begin;
    if (end - begin < ETHERNET_BYTES) {
      this.drop("malformed");
      return;
    }
    const isGroup = ((bytes[begin] ?? 0) & 1) !== 0;
    const isForGateway = isGroup || this.#parties.isGatewayMac(bytes, begin);
    if (!isForGateway || !this.#parties.isGuestMac(bytes, begin + 6)) {
      this.drop("spoofed");
      return;
    }
    const at = begin + ETHERNET_BYTES;
    switch (readShort(bytes, begin + 12)) {
      case ETHER_TYPE.ipv4:
        this.#receiveIpv4(bytes, at, end, isGroup);
        return;
      case ETHER_TYPE.ipv6:
        this.#receiveIpv6(bytes, at, end, isGroup);
        return;
      case ETHER_TYPE.arp:
        if (!answerArp(this.#output, this.#parties, { bytes, begin: at, end })) this.drop("multicast");
        return;
      default:
        this.drop("protocol");
    }
  }

  drop(kind: DropKind, target?: () => Endpoint): void {
    this.#counters.dropped[kind]++;
    const { onDropped } = this.#options;
    // Neighbours are greeted by every kernel, and nobody is interested.
    if (onDropped === undefined || kind === "multicast" || !this.#reports.allows()) return;
    onDropped(kind, target?.());
  }

  #receiveIpv4(bytes: Buffer, begin: number, end: number, isGroup: boolean): void {
    const packet = this.#packet;
    const refusal = readIpv4(packet, bytes, begin, end);
    if (refusal !== undefined) this.drop(refusal);
    else if (isGroup || isIpv4Multicast(packet.target3)) this.drop("multicast");
    else if (packet.isFrom(this.#parties.loopback4)) this.#receiveLoopback(packet);
    else if (!packet.isFrom(this.#parties.guest4)) this.drop("spoofed");
    else if (packet.protocol === PROTOCOL.icmp) this.#receiveIcmp(packet);
    else this.#receiveTransport(packet);
  }

  #receiveIpv6(bytes: Buffer, begin: number, end: number, isGroup: boolean): void {
    const packet = this.#packet;
    const refusal = readIpv6(packet, bytes, begin, end);
    if (refusal !== undefined) this.drop(refusal);
    else if (packet.protocol === PROTOCOL.icmpv6 && this.#isGuestOrLinkLocal(packet)) this.#receiveIcmp(packet);
    else if (isGroup || isIpv6Multicast(packet.target0)) this.drop("multicast");
    else if (!packet.isFrom(this.#parties.guest6)) this.drop("spoofed");
    else this.#receiveTransport(packet);
  }

  #receiveIcmp(packet: Packet): void {
    const isAnswered =
      packet.version === 4
        ? answerEcho(this.#output, this.#parties, packet)
        : answerIcmpv6(this.#output, this.#parties, packet);
    if (isAnswered) return;
    const isGroup = packet.version === 6 && isIpv6Multicast(packet.target0);
    if (isGroup) this.drop("multicast");
    else this.drop("icmp", () => ({ address: packet.target().toString(), port: 0 }));
  }

  #receiveTransport(packet: Packet): void {
    const guest = packet.version === 4 ? this.#parties.guest4 : this.#parties.guest6;
    if (packet.protocol === PROTOCOL.udp) {
      this.#receiveUdp(packet);
      return;
    }
    if (packet.protocol !== PROTOCOL.tcp) {
      this.drop("protocol", () => ({ address: packet.target().toString(), port: 0 }));
      return;
    }
    const refusal = this.#engine.receive(packet, guest);
    if (refusal !== undefined) this.drop(refusal);
  }

  /** Answers of a server that was dialled there; the guest opens nothing with such an address. */
  #receiveLoopback(packet: Packet): void {
    if (packet.protocol !== PROTOCOL.tcp || !this.#engine.receiveAnswer(packet, this.#parties.loopback4)) {
      this.drop("spoofed");
    }
  }

  #receiveUdp(packet: Packet): void {
    const header = readUdp(packet);
    if (header === undefined) {
      this.drop("malformed");
      return;
    }
    const gateway = packet.version === 4 ? this.#parties.gateway4 : this.#parties.gateway6;
    if (header.targetPort === DNS_PORT && packet.isTo(gateway)) {
      const { flush, onDatagram } = this.#options;
      onDatagram(makeDatagram(this.#output, packet, header, flush));
      return;
    }
    if (this.#unreachables.allows()) {
      if (packet.version === 4) sendPortUnreachable(this.#output, this.#parties, packet);
      else sendPortUnreachable6(this.#output, this.#parties, packet);
    }
    this.drop("udp", () => ({ address: packet.target().toString(), port: header.targetPort }));
  }

  /** Neighbours are asked for from the address of the link. */
  #isGuestOrLinkLocal(packet: Packet): boolean {
    return packet.isFrom(this.#parties.guest6) || packet.source0 >>> 22 === 0xfe80 >>> 6;
  }
}
