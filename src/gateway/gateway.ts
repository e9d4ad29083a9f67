/**
 * A gateway: one port, by default of this machine's loopback on both families, behind which servers are told apart by the
 * name in the Host field. The name is what gives access; everything else is answered with nothing.
 */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, ClientConnection, type ConnectionHost, type HeadRewriter } from "./client-connection.ts";
import { acceptTls, type GatewayTls } from "./client-tls.ts";
import { GATEWAY_LIMITS, type GatewayLimits, type Target } from "./target.ts";

export { ANONYMOUS } from "./answers.ts";
export type { HeadRewriter } from "./client-connection.ts";
export type { GatewayTls } from "./client-tls.ts";
export { DialError, type GatewayLimits, type Seat, type Target } from "./target.ts";

const LOOPBACKS = ["127.0.0.1", "::1"] as const;
/** A free port of one family that is taken in the other: try another one. */
const ATTEMPTS = 20;
/** An answer that says nothing for so long when the gateway ends is over, `ms`. */
const SILENT_MS = 1000;
/** Between two looks whether all connections have ended, `ms`. */
const DRAIN_LOOK_MS = 20;
/** Waiting for `accept`; more is refused by the kernel. */
const BACKLOG = 128;

export interface GatewayOptions {
  /** 0 for any. */
  port: number;
  /** The target that a Host field (lower case, with its port) names. */
  find: (host: string) => Target | undefined;
  limits?: Partial<GatewayLimits>;
  /** To listen on: the first one has to be there, the others where the machine has their family. */
  addresses?: readonly string[];
  /** Plain HTTP if absent. */
  tls?: GatewayTls;
  /** Between two looks whether a client that says nothing is still there, `ms`; on the loopback nobody vanishes. */
  keepAliveMs?: number;
  /** Makes what rewrites the heads of a connection's requests; they go on as they came if absent. */
  rewriterFor?: (socket: Socket) => HeadRewriter;
}

export interface Gateway extends AsyncDisposable {
  readonly port: number;
  /** Connections at this moment. */
  readonly connections: number;
  /** Hangs up on all who use a target. */
  drop(target: Target): void;
  /** Takes no new connections, and gives the answers that are under way so long to come to their end, `ms`. */
  drain(ms: number): Promise<void>;
}

/**
 * Listens; of the loopback on ::1 as well where the machine has it: browsers try that first, so whoever had the same port
 * there would get what is meant for the gateway.
 *
 * @throws an error of `listen`, such as EADDRINUSE
 */
export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  for (let attempt = 1; ; attempt++) {
    const gateway = new PortGateway(options);
    try {
      await gateway.open(options.port);
      return gateway;
    } catch (error) {
      await gateway[Symbol.asyncDispose]();
      if (options.port !== 0 || !isTaken(error) || attempt >= ATTEMPTS) throw error;
    }
  }
}

class PortGateway implements Gateway, ConnectionHost {
  readonly limits: GatewayLimits;
  readonly find: (host: string) => Target | undefined;
  readonly #servers: Server[] = [];
  readonly #connections = new Set<ClientConnection>();
  readonly #strangers = new Set<ClientConnection>();
  readonly #guests = new Set<ClientConnection>();
  readonly #byTarget = new Map<Target, number>();
  readonly #options: GatewayOptions;
  /** Kept: each request asks, and the kernel would be asked each time. */
  #port = 0;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.find = options.find;
    this.limits = { ...GATEWAY_LIMITS, ...options.limits };
  }

  get connections(): number {
    return this.#connections.size;
  }

  get port(): number {
    return this.#port;
  }

  async open(port: number): Promise<void> {
    for (const address of this.#options.addresses ?? LOOPBACKS) {
      const { keepAliveMs = 0 } = this.#options;
      const alive = { keepAlive: keepAliveMs > 0, keepAliveInitialDelay: keepAliveMs };
      const server = createServer({ allowHalfOpen: true, ...alive }, (socket) => this.#accept(socket));
      try {
        await listen(server, address, this.#servers.length === 0 ? port : this.port);
        this.#servers.push(server);
        this.#port = (server.address() as AddressInfo).port;
      } catch (error) {
        // A machine without IPv6 has no such address, and so nobody else can have it.
        if (this.#servers.length === 0 || !isMissingFamily(error)) throw error;
      }
    }
  }

  admit(connection: ClientConnection): boolean {
    this.#strangers.delete(connection);
    const { target } = connection;
    const ofTarget = target === undefined ? 0 : (this.#byTarget.get(target) ?? 0);
    if (this.#guests.size >= this.limits.guests || ofTarget >= this.limits.guestsOfTarget) return false;
    this.#guests.add(connection);
    if (target !== undefined) this.#byTarget.set(target, ofTarget + 1);
    return true;
  }

  forget(connection: ClientConnection): void {
    this.#connections.delete(connection);
    this.#strangers.delete(connection);
    const { target } = connection;
    if (!this.#guests.delete(connection) || target === undefined) return;
    const left = (this.#byTarget.get(target) ?? 1) - 1;
    if (left > 0) this.#byTarget.set(target, left);
    else this.#byTarget.delete(target);
  }

  drop(target: Target): void {
    for (const connection of this.#connections) if (connection.target === target) connection.destroy();
  }

  async drain(ms: number): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const connection of this.#connections) connection.finish(SILENT_MS);
    const deadline = performance.now() + ms;
    while (this.#connections.size > 0 && performance.now() < deadline) await sleep(DRAIN_LOOK_MS);
    for (const connection of this.#connections) connection.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const connection of this.#connections) connection.destroy();
    await Promise.all(closed);
  }

  #accept(socket: Socket): void {
    const [oldest] = this.#strangers;
    if (oldest !== undefined && this.#strangers.size >= this.limits.strangers) oldest.destroy();
    const connection = new ClientConnection(this.#clientOf(socket), this);
    this.#connections.add(connection);
    this.#strangers.add(connection);
  }

  #clientOf(socket: Socket): Client {
    const { tls, rewriterFor } = this.#options;
    const rewrite = rewriterFor?.(socket);
    if (tls !== undefined) return { ...acceptTls(socket, tls), rewrite };
    return { socket, reset: () => socket.resetAndDestroy(), rewrite };
  }
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: BACKLOG, exclusive: true }, () => {
      server.off("error", reject);
      // A connection that could not be taken (no descriptors left) is that client's trouble.
      server.on("error", () => undefined);
      resolve();
    });
  });
}

function isTaken(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "EADDRINUSE";
}

function isMissingFamily(error: unknown): boolean {
  return ["EADDRNOTAVAIL", "EAFNOSUPPORT"].includes((error as NodeJS.ErrnoException).code ?? "");
}
