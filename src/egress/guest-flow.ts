/** A TCP connection that the guest is opening, as the network stack hands it to whoever judges and serves it. */
import type { Duplex } from "node:stream";

/** An address in canonical form (IPv4 dotted, IPv6 as in RFC 5952) and a port. */
export interface Endpoint {
  address: string;
  port: number;
}

export interface GuestFlow {
  /** Counts the flows of this sandbox, from 1. */
  readonly id: number;
  readonly guest: Endpoint;
  /** What the guest dialled. */
  readonly target: Endpoint;
  /**
   * Completes the handshake. The stream has flow control both ways and half-open ends: `end()` sends FIN, the guest's
   * FIN ends the readable side, and `destroy()` before both have ended sends RST. Called at most once, and not after
   * {@link refuse}.
   */
  accept(): Duplex;
  /** Answers the SYN with RST. */
  refuse(): void;
  /** Called once if the guest gives up before it was answered; both methods then do nothing (accept: a destroyed stream). */
  onGone(listener: () => void): void;
}

/** A UDP datagram of the guest. Nothing is ever forwarded; the resolver answers some. */
export interface GuestDatagram {
  readonly guest: Endpoint;
  readonly target: Endpoint;
  readonly payload: Buffer;
  /** Sends back from `target` to `guest`. @param payload up to 65,000 bytes */
  reply(payload: Buffer): void;
}
