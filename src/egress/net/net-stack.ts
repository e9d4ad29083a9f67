/**
 * The host's end of the guest's only network card: a gateway that terminates whatever the guest sends. TCP to any
 * address becomes a flow, a datagram to the resolver is handed on, the gateway answers ARP, neighbour discovery and
 * echo requests, and nothing else goes anywhere. Every byte that arrives was chosen by a hostile guest.
 */
import { type Duplex } from "node:stream";
import { Socket } from "node:net";
import type { ConnectionRecord } from "../../protocol/network-past.ts";
import type { Endpoint, GuestDatagram, GuestFlow } from "../guest-flow.ts";
import { NET_ADDRESSES, type NetAddresses } from "./addresses.ts";
import { type Clock, SYSTEM_CLOCK } from "./clock.ts";
import { type DropKind, type NetCounters, newCounters } from "./counters.ts";
import { FrameHandler } from "./frame-handler.ts";
import { IpOutput } from "./ip-output.ts";
import { NET_LIMITS, type NetLimits } from "./limits.ts";
import { LinkReader } from "./link-reader.ts";
import { LinkWriter } from "./link-writer.ts";
import { parseIpAddress } from "./ip-address.ts";
import { type LinkParties, parseParties } from "./parties.ts";
import { TcpEngine } from "./tcp/engine.ts";

/** Between the rounds in which connections of a former life are ended, `ms`. */
const BREAK_OFF_DELAYS_MS: readonly number[] = [0, 100, 500, 2000];

export interface NetStackOptions {
  /**
   * QEMU's `-netdev stream` socket: its descriptor, which is fastest and belongs to the stack from now on, or a stream.
   */
  link: Duplex | { fd: number };
  addresses?: NetAddresses;
  /** Called while a frame is read: it must not throw. */
  onFlow: (flow: GuestFlow) => void;
  /** A datagram to port 53 of the gateway. */
  onDatagram: (datagram: GuestDatagram) => void;
  /** Something of the guest's that goes nowhere; not for each one when there are many: the counters have them all. */
  onDropped?: (kind: DropKind, target?: Endpoint) => void;
  limits?: Partial<NetLimits>;
  clock?: Clock;
}

export interface NetStack extends Disposable {
  readonly counters: Readonly<NetCounters>;
  /** What is held now, and at most has been, for all flows. */
  readonly memory: NetMemory;
  /** Settles when the link is gone; with the reason unless it was closed from this side or QEMU ended it. */
  readonly closed: Promise<Error | undefined>;
  /**
   * Connects to a server on the guest's IPv4 loopback. What is written to the stream before the guest has answered waits.
   *
   * @param onOpen called when the server has accepted; otherwise the stream fails, with ECONNREFUSED where nothing listens
   * @throws FlowError where there is no room for it
   */
  connect(port: number, onOpen: () => void): Duplex;
  /** The guest's connections, for a copy of its machine. */
  connections(): ConnectionRecord[];
  /** Ends connections that the guest has from a former life. Those that there are none of any more are nothing. */
  breakOff(connections: readonly ConnectionRecord[]): void;
  /** Ends the link and all flows. */
  close(): void;
}

export interface NetMemory {
  /** Flows that count against the limit, and connections with those in TIME_WAIT. */
  flows: number;
  connections: number;
  receivedBytes: number;
  receivedPeakBytes: number;
  unacknowledgedBytes: number;
  unacknowledgedPeakBytes: number;
  linkQueueBytes: number;
}

/** @throws TypeError if an address is none */
export function openNetStack(options: NetStackOptions): NetStack {
  return new LinkStack(options);
}

class LinkStack implements NetStack {
  readonly counters = newCounters();
  readonly closed: Promise<Error | undefined>;
  readonly #link: Duplex;
  readonly #reader: LinkReader;
  readonly #writer: LinkWriter;
  readonly #engine: TcpEngine;
  readonly #settle: (reason: Error | undefined) => void;
  readonly #clock: Clock;
  readonly #parties: LinkParties;
  /** Connections of a former life that are being ended. */
  #broken: readonly ConnectionRecord[] = [];
  #cancelBreakOff: () => void = () => undefined;
  #isClosed = false;

  constructor(options: NetStackOptions) {
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.closed = promise;
    this.#settle = resolve;
    const limits = { ...NET_LIMITS, ...options.limits };
    const clock = (this.#clock = options.clock ?? SYSTEM_CLOCK);
    const parties = (this.#parties = parseParties(options.addresses ?? NET_ADDRESSES));
    this.#reader = new LinkReader({
      onFrame: (bytes, begin, end) => handler.receive(bytes, begin, end),
      onOversized: () => handler.drop("malformed"),
      onBatch: () => this.#engine.flush(),
    });
    this.#link = this.#openLink(options.link);
    this.#writer = new LinkWriter(this.#link, () => this.#engine.onRoom());
    const { counters } = this;
    const output = new IpOutput(this.#writer, counters, { gateway: parties.gatewayMac, guest: parties.guestMac });
    const { onFlow, onDatagram, onDropped } = options;
    this.#engine = new TcpEngine({ clock, limits, counters, output, link: this.#writer, onFlow });
    const handler = new FrameHandler({
      ...{ parties, counters, output, clock, engine: this.#engine, onDatagram, onDropped },
      flush: () => this.#writer.flush(),
    });
    this.#follow();
  }

  get memory(): NetMemory {
    const { receiveBudget, sendBudget, flows, connections } = this.#engine;
    return {
      flows,
      connections,
      receivedBytes: receiveBudget.usedBytes,
      receivedPeakBytes: receiveBudget.peakBytes,
      unacknowledgedBytes: sendBudget.usedBytes,
      unacknowledgedPeakBytes: sendBudget.peakBytes,
      linkQueueBytes: this.#writer.queuedBytes,
    };
  }

  connect(port: number, onOpen: () => void): Duplex {
    return this.#engine.connect(this.#parties.gateway4, this.#parties.loopback4, port, onOpen);
  }

  connections(): ConnectionRecord[] {
    const records = this.#engine.list().map(({ near, nearPort, farPort }) => ({
      ...{ address: near.toString(), port: nearPort, guestPort: farPort },
    }));
    // What waits from before.
    return [...this.#broken, ...records];
  }

  breakOff(connections: readonly ConnectionRecord[]): void {
    this.#broken = [...connections];
    this.#provokeBroken(0);
  }

  close(): void {
    this.#close(undefined);
  }

  /** In rounds: a guest that has just begun to run may lose frames. */
  #provokeBroken(round: number): void {
    const delayMs = BREAK_OFF_DELAYS_MS[round];
    if (delayMs === undefined || this.#isClosed) {
      this.#broken = [];
      return;
    }
    this.#cancelBreakOff = this.#clock.after(delayMs, () => {
      for (const { address, port, guestPort } of this.#broken) {
        const near = parseIpAddress(address);
        const { gateway4, guest4, guest6, loopback4 } = this.#parties;
        this.#engine.breakOff(near, port, near.version === 4 ? guest4 : guest6, guestPort);
        // Perhaps one that was opened from this side.
        if (near.toString() === gateway4.toString()) this.#engine.breakOff(near, port, loopback4, guestPort);
      }
      this.#writer.flush();
      this.#provokeBroken(round + 1);
    });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A socket of its own reads to the reader's memory; any other stream is copied from. */
  #openLink(link: Duplex | { fd: number }): Duplex {
    if (!("fd" in link)) {
      link.on("data", (chunk: Buffer) => {
        this.#engine.beginBatch();
        this.#reader.push(chunk);
      });
      return link;
    }
    const onread = {
      buffer: () => this.#reader.space(),
      callback: (count: number) => {
        this.#engine.beginBatch();
        this.#reader.filled(count);
        return true;
      },
    };
    return new Socket({ fd: link.fd, readable: true, writable: true, onread });
  }

  #follow(): void {
    this.#link.on("error", (error) => this.#close(error));
    this.#link.on("end", () => this.#close(undefined));
    this.#link.on("close", () => this.#close(undefined));
  }

  #close(reason: Error | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelBreakOff();
    this.#reader.close();
    this.#engine.close();
    this.#writer.close();
    this.#link.destroy();
    this.#settle(reason);
  }
}
