/**
 * A guest whose connections are real TCP on the loopback, and a router in front of real upstream servers. A flow's
 * stream behaves as the network stack's: `destroy` before both directions have ended is a reset.
 */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import type { AuditEvent } from "../../../src/egress/audit-event.ts";
import { createFlowRouter, type FlowRouter, type FlowRouterOptions } from "../../../src/egress/flows/flow-router.ts";
import type { FlowFacts, Interceptor, TlsFlowFacts } from "../../../src/egress/flows/interceptor.ts";
import type { Endpoint, GuestFlow } from "../../../src/egress/guest-flow.ts";
import type { Upstream } from "../../../src/egress/upstream/upstream.ts";
import type { ConnectionTarget, Decision } from "../../../src/policy/spec.ts";
import { ALLOW, upstreamWith } from "../egress-upstream/servers.ts";

/** As a resolver would have given them to the guest. */
export const NAMES: Readonly<Record<string, string>> = {
  "198.18.0.1": "a.example",
  "198.18.0.2": "b.example",
  "fd73:6278:0:1::3": "c.example",
};
export const GATEWAY = "10.0.2.1";

class FlowStream extends Duplex {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super({ allowHalfOpen: true, readableHighWaterMark: 1 });
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.pause();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const isOver = this.readableEnded && this.writableFinished;
    // libuv does not reset a socket whose shutdown is under way.
    const isShuttingDown = this.#socket.writableEnded && !this.#socket.writableFinished;
    if (isOver || isShuttingDown) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
    done(error);
  }
}

interface Dialled {
  target: Endpoint;
  guestSocket: Socket;
}

export class TestFlow implements GuestFlow {
  readonly id: number;
  readonly guest: Endpoint = { address: "10.0.2.15", port: 40_000 };
  readonly target: Endpoint;
  answer: "accepted" | "refused" | null = null;
  readonly #socket: Socket;
  readonly #guestSocket: Socket;

  constructor(id: number, { target, guestSocket }: Dialled, socket: Socket) {
    this.id = id;
    this.target = target;
    this.#socket = socket;
    this.#guestSocket = guestSocket;
    socket.on("error", () => undefined);
  }

  accept(): Duplex {
    if (this.answer !== null) throw new Error(`already ${this.answer}`);
    this.answer = "accepted";
    return new FlowStream(this.#socket);
  }

  refuse(): void {
    if (this.answer !== null) throw new Error(`already ${this.answer}`);
    this.answer = "refused";
    this.#socket.resetAndDestroy();
  }

  onGone(listener: () => void): void {
    // The socket itself notices nothing before somebody reads from it.
    this.#guestSocket.once("close", () => {
      if (this.answer === null) listener();
    });
  }
}

export interface Intercepted {
  kind: "tls" | "plain";
  stream: Duplex;
  facts: FlowFacts | TlsFlowFacts;
}

export interface Guest {
  router: FlowRouter;
  /** The audit log so far. */
  events: AuditEvent[];
  intercepted: Intercepted[];
  /** Connections to the gateway's resolver. */
  resolver: Duplex[];
  flows: TestFlow[];
  /** Addresses that were held for their name and are not any more. */
  released: string[];
  /** Settles with the next event of the audit log, or one that has not been waited for. */
  nextEvent(): Promise<AuditEvent>;
  nextIntercepted(): Promise<Intercepted>;
  /** The guest's own end of a new connection. */
  dial(address: string, port: number): Socket;
  decide: (target: ConnectionTarget) => Decision;
  decideAddress: (target: ConnectionTarget, address: string) => Decision;
  mustRead: (target: ConnectionTarget) => boolean;
}

class Arrivals<T> {
  readonly items: T[] = [];
  #taken = 0;
  #wake: (() => void) | undefined;

  add(item: T): void {
    this.items.push(item);
    this.#wake?.();
  }

  async next(): Promise<T> {
    while (this.items.length <= this.#taken) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.items[this.#taken++] as T;
  }
}

export async function startGuest(
  t: TestContext,
  options: { upstream?: Upstream; interceptor?: Interceptor; limits?: FlowRouterOptions["limits"] } = {},
): Promise<Guest> {
  const events = new Arrivals<AuditEvent>();
  const intercepted = new Arrivals<Intercepted>();
  const resolver: Duplex[] = [];
  const flows: TestFlow[] = [];
  const released: string[] = [];
  const dialled: Dialled[] = [];
  const sockets: Socket[] = [];
  const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const intercept = (kind: "tls" | "plain") => (stream: Duplex, facts: FlowFacts) => {
    stream.on("error", () => undefined);
    intercepted.add({ kind, stream, facts });
  };
  const guest: Guest = {
    router: createFlowRouter({
      names: {
        hold: (address) => {
          const name = NAMES[address];
          return name === undefined ? undefined : { name, [Symbol.dispose]: () => void released.push(address) };
        },
      },
      gateway: [GATEWAY],
      judge: () => ({
        decideConnection: (target) => guest.decide(target),
        decideAddress: (target, address) => guest.decideAddress(target, address),
      }),
      mustRead: (target) => guest.mustRead(target),
      upstream: options.upstream ?? upstreamWith(),
      interceptor: options.interceptor ?? { serveTls: intercept("tls"), servePlain: intercept("plain") },
      dnsOverTcp: (stream) => void resolver.push(stream),
      audit: (event) => events.add(event),
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    }),
    events: events.items,
    intercepted: intercepted.items,
    resolver,
    flows,
    released,
    nextEvent: () => events.next(),
    nextIntercepted: () => intercepted.next(),
    dial: (address, targetPort) => {
      const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      dialled.push({ target: { address, port: targetPort }, guestSocket: socket });
      sockets.push(socket);
      socket.on("error", () => undefined);
      return socket;
    },
    decide: () => ALLOW,
    decideAddress: () => ALLOW,
    mustRead: () => false,
  };
  server.on("connection", (socket) => {
    sockets.push(socket);
    const next = dialled.shift();
    if (next === undefined) throw new Error("nobody dialled");
    const flow = new TestFlow(flows.length + 1, next, socket);
    flows.push(flow);
    guest.router.onFlow(flow);
  });
  t.after(async () => {
    guest.router[Symbol.dispose]();
    server.close();
    for (const { stream } of intercepted.items) stream.destroy();
    for (const socket of sockets) socket.destroy();
    await once(server, "close");
  });
  return guest;
}

/** Everything that comes until the end; `reset` where it ends with one. */
export function collect(socket: Socket): Promise<{ text: string; end: "fin" | "reset" }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let end: "fin" | "reset" = "reset";
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    const settle = () => resolve({ text: Buffer.concat(chunks).toString("latin1"), end });
    socket.once("end", () => {
      end = "fin";
      settle();
    });
    socket.once("close", settle);
    if (socket.destroyed) settle();
  });
}

/** Settles when the router has none of the connections any more. */
export async function untilNoFlows(guest: Guest): Promise<void> {
  while (guest.router.openFlows > 0) await new Promise((resolve) => setImmediate(resolve));
}
