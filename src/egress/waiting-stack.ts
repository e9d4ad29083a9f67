/**
 * A network stack that is there before the rest of the egress path: most sandboxes are made without needing a network at
 * once, and many never use it. What the guest opens first waits until somebody serves it.
 */
import type { Duplex } from "node:stream";
import type { ConnectionRecord } from "../protocol/network-past.ts";
import type { Endpoint, GuestDatagram, GuestFlow } from "./guest-flow.ts";
import type { DropKind } from "./net/counters.ts";
import { openNetStack, type NetStack } from "./net/net-stack.ts";

/** QEMU's end of the guest's network card: a descriptor that nobody else reads, or a stream. */
export type NetworkLink = Duplex | { fd: number };

export interface StackServant {
  onFlow(flow: GuestFlow): void;
  onDatagram(datagram: GuestDatagram): void;
  onDropped(kind: DropKind, target?: Endpoint): void;
}

/** Connections and datagrams that wait. A guest that wants more before it was served at all is refused. */
const MAX_WAITING = 256;

export class WaitingStack implements Disposable {
  readonly #stack: NetStack;
  readonly #flows: GuestFlow[] = [];
  readonly #datagrams: GuestDatagram[] = [];
  #servant: StackServant | undefined;
  #onFirst: (() => void) | undefined;

  /** @param onFirst called once, when the guest first wants something and nobody serves it yet */
  constructor(link: NetworkLink, onFirst: () => void) {
    this.#onFirst = onFirst;
    this.#stack = openNetStack({
      link,
      onFlow: (flow) => {
        if (this.#servant !== undefined) this.#servant.onFlow(flow);
        else if (this.#flows.length >= MAX_WAITING) flow.refuse();
        else this.#wait(this.#flows, flow);
      },
      onDatagram: (datagram) => {
        if (this.#servant !== undefined) this.#servant.onDatagram(datagram);
        else if (this.#datagrams.length < MAX_WAITING) this.#wait(this.#datagrams, datagram);
      },
      onDropped: (kind, target) => this.#servant?.onDropped(kind, target),
    });
  }

  /** Hands over what waits, and what comes from now on. */
  serve(servant: StackServant): void {
    this.#servant = servant;
    for (const datagram of this.#datagrams.splice(0)) servant.onDatagram(datagram);
    for (const flow of this.#flows.splice(0)) servant.onFlow(flow);
  }

  /** As {@link NetStack.connect}. */
  connect(port: number, onOpen: () => void): Duplex {
    return this.#stack.connect(port, onOpen);
  }

  /** The guest's connections, for a copy of its machine. */
  connections(): ConnectionRecord[] {
    return this.#stack.connections();
  }

  /** Ends connections that the guest has from a former life. */
  breakOff(connections: readonly ConnectionRecord[]): void {
    if (connections.length > 0) this.#stack.breakOff(connections);
  }

  [Symbol.dispose](): void {
    this.#stack.close();
  }

  #wait<T>(list: T[], item: T): void {
    list.push(item);
    this.#onFirst?.();
    this.#onFirst = undefined;
  }
}
