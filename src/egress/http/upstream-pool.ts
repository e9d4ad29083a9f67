/**
 * Connections to upstreams, kept for the next request to the same host. The addresses behind them were checked when they
 * were dialled, and a request gets one only after the policy allowed it. What is kept is bounded per host and in all.
 */
import type { Socket } from "node:net";
import { type Upstream, type UpstreamConnection, UpstreamError } from "../upstream/upstream.ts";
import type { Authority } from "./authority.ts";
import type { HttpLimits } from "./limits.ts";
import type { CallOptions, UpstreamCall } from "./upstream-call.ts";
import { H1Connection } from "./upstream-h1.ts";
import { H2Connection } from "./upstream-h2.ts";

/** What the guest speaks: `h2` offers both upstream, and without TLS, where nothing is negotiated, means just that. */
export type Offer = "h2" | "http/1.1";

/** A connection that is this request's, for one call. */
export interface Lease {
  /** What was dialled. */
  address: string;
  call(options: CallOptions): UpstreamCall;
}

export interface LeaseOptions {
  offer: Offer;
  /**
   * Which of the connections that are idle will do. The upstream may be closing one at this moment: `any` is for a request
   * that can be sent once more, `recent` for one that cannot, `none` for one that has met such a connection.
   */
  idle: "any" | "recent" | "none";
  signal: AbortSignal;
}

/** What `recent` means. Common servers close after 5 s. */
const RECENT_MS = 4000;
/** Each new session carries up to 100 waiting requests, unless the upstream allows none. */
const MAX_SESSIONS_TRIED = 32;

export class UpstreamPool {
  readonly #upstream: Upstream;
  readonly #limits: HttpLimits;
  readonly #origins = new Map<string, Origin>();
  readonly #closed = new AbortController();
  /** Connections without a request, in all. */
  readonly #idle: IdleCount = { connections: 0 };

  constructor(upstream: Upstream, limits: HttpLimits) {
    this.#upstream = upstream;
    this.#limits = limits;
  }

  /** @throws UpstreamError */
  lease(authority: Authority, options: LeaseOptions): Promise<Lease> {
    const key = `${authority.scheme} ${authority.host} ${authority.port}`;
    let origin = this.#origins.get(key);
    if (origin === undefined) {
      origin = new Origin(authority, this.#upstream, this.#limits, this.#closed.signal, this.#idle);
      this.#origins.set(key, origin);
    }
    if (this.#idle.connections > this.#limits.idleInAll) this.sweep(Date.now());
    return origin.lease(options);
  }

  /** A connection for HTTP/1.1 that is not kept. @throws UpstreamError */
  async openSocket(authority: Authority, signal: AbortSignal): Promise<UpstreamConnection> {
    const connection =
      authority.scheme === "http"
        ? await this.#upstream.connect(authority, signal)
        : await this.#upstream.connectTls(authority, { alpnProtocols: ["http/1.1"], signal });
    if (signal.aborted || this.#closed.signal.aborted) connection.socket.destroy();
    return connection;
  }

  /** Closes what has been idle for too long, or is too much in all: the longest idle first. */
  sweep(nowMs: number): void {
    const idle: H1Connection[] = [];
    for (const [key, origin] of this.#origins) {
      idle.push(...origin.sweep(nowMs));
      if (origin.empty) this.#origins.delete(key);
    }
    idle.sort((a, b) => a.idleSinceMs - b.idleSinceMs);
    for (const connection of idle.slice(0, Math.max(0, idle.length - this.#limits.idleInAll))) {
      connection.socket.destroy();
    }
  }

  close(): void {
    this.#closed.abort();
    for (const origin of this.#origins.values()) origin.destroy();
    this.#origins.clear();
  }
}

interface IdleCount {
  connections: number;
}

class Origin {
  readonly #authority: Authority;
  readonly #upstream: Upstream;
  readonly #limits: HttpLimits;
  readonly #closed: AbortSignal;
  readonly #idleInAll: IdleCount;
  readonly #connections = new Set<H1Connection>();
  /** The longest idle first. */
  #idle: H1Connection[] = [];
  readonly #sessions = new Set<H2Connection>();
  #pendingSession: Promise<H2Connection | H1Connection> | null = null;
  /** What the upstream chose when it was last offered both. */
  #chosen: Offer | null = null;
  #dialling = 0;
  /** Requests that wait for a connection; each call looks again. */
  readonly #waiting = new Set<() => void>();

  constructor(authority: Authority, upstream: Upstream, limits: HttpLimits, closed: AbortSignal, idleInAll: IdleCount) {
    this.#idleInAll = idleInAll;
    this.#authority = authority;
    this.#upstream = upstream;
    this.#limits = limits;
    this.#closed = closed;
  }

  async lease(options: LeaseOptions): Promise<Lease> {
    const { offer, signal } = options;
    for (let sessionsMade = 0; ;) {
      if (signal.aborted) throw new UpstreamError("aborted", "the request was given up");
      if (offer === "h2") {
        const session = this.#openSession();
        if (session !== null) return sessionLease(session);
        if (this.#chosen !== "http/1.1" && this.#open < this.#limits.connectionsPerHost) {
          if (++sessionsMade > MAX_SESSIONS_TRIED) throw new UpstreamError("refused", "the upstream takes no requests");
          const made = await this.#awaitSession(signal);
          // The first to come takes it if it turned out to speak HTTP/1.1; the others look again.
          if (made instanceof H2Connection ? !made.open : !this.#take(made)) continue;
          return made instanceof H2Connection ? sessionLease(made) : this.#h1Lease(made);
        }
      }
      const idle = offer === "h2" && this.#chosen !== "http/1.1" ? null : this.#takeIdle(options.idle);
      if (idle !== null) return this.#h1Lease(idle);
      if (this.#open < this.#limits.connectionsPerHost) {
        // Over TLS the upstream is known to speak HTTP/1.1 only, and may have learned better.
        const made = await this.#dial(offer, signal);
        return made instanceof H2Connection ? sessionLease(made) : this.#h1Lease(made);
      }
      await this.#turn(signal);
    }
  }

  get empty(): boolean {
    return this.#open === 0 && this.#waiting.size === 0 && this.#pendingSession === null;
  }

  /** @returns what stays idle */
  sweep(nowMs: number): H1Connection[] {
    for (const session of this.#sessions) {
      if (session.idle && nowMs - session.idleSinceMs > this.#limits.upstreamIdleMs) session.session.destroy();
    }
    for (const connection of [...this.#idle]) {
      if (nowMs - connection.idleSinceMs > connection.keepMs) connection.socket.destroy();
    }
    return this.#idle;
  }

  destroy(): void {
    for (const connection of this.#connections) connection.socket.destroy();
    for (const session of this.#sessions) session.session.destroy();
  }

  get #open(): number {
    return this.#connections.size + this.#sessions.size + this.#dialling;
  }

  #openSession(): H2Connection | null {
    const now = Date.now();
    for (const session of this.#sessions) {
      // A machine that was asleep wakes up with sessions whose other end is gone.
      if (session.idle && now - session.idleSinceMs > this.#limits.upstreamIdleMs) session.session.destroy();
      else if (session.open) return session;
    }
    return null;
  }

  /** One dial serves all who ask meanwhile, so it does not end with the one who asked first. */
  #awaitSession(signal: AbortSignal): Promise<H2Connection | H1Connection> {
    if (this.#pendingSession === null) {
      const pending = this.#dial("h2", this.#closed);
      this.#pendingSession = pending;
      pending.then(
        (made) => {
          this.#pendingSession = null;
          if (made instanceof H1Connection) this.#giveBack(made);
        },
        () => {
          this.#pendingSession = null;
        },
      );
    }
    return abortable(this.#pendingSession, signal);
  }

  async #dial(offer: Offer, signal: AbortSignal): Promise<H2Connection | H1Connection> {
    this.#dialling++;
    try {
      const { scheme } = this.#authority;
      if (scheme === "http") {
        const { socket, address } = await this.#upstream.connect(this.#authority, signal);
        return offer === "h2" ? this.#addSession(socket, address) : this.#addConnection(socket, address);
      }
      const alpnProtocols = offer === "h2" ? ["h2", "http/1.1"] : ["http/1.1"];
      const { socket, address } = await this.#upstream.connectTls(this.#authority, { alpnProtocols, signal });
      const speaksH2 = socket.alpnProtocol === "h2";
      if (offer === "h2") this.#chosen = speaksH2 ? "h2" : "http/1.1";
      return speaksH2 ? this.#addSession(socket, address) : this.#addConnection(socket, address);
    } finally {
      this.#dialling--;
      this.#next();
    }
  }

  #addSession(socket: Socket, address: string): H2Connection {
    const session: H2Connection = new H2Connection(socket, address, this.#authority, this.#limits, {
      onFree: () => this.#next(),
      onClose: () => {
        this.#sessions.delete(session);
        this.#next();
      },
    });
    this.#sessions.add(session);
    if (this.#closed.aborted) session.session.destroy();
    return session;
  }

  #addConnection(socket: Socket, address: string): H1Connection {
    const connection = new H1Connection(socket, address, this.#limits);
    this.#connections.add(connection);
    socket.once("close", () => {
      this.#connections.delete(connection);
      this.#take(connection);
      this.#next();
    });
    if (this.#closed.aborted) socket.destroy();
    return connection;
  }

  #h1Lease(connection: H1Connection): Lease {
    return {
      address: connection.address,
      call: (options) => connection.call(options, this.#authority, () => this.#giveBack(connection)),
    };
  }

  #giveBack(connection: H1Connection): void {
    if (!connection.usable) {
      connection.socket.destroy();
      return;
    }
    connection.idleSinceMs = Date.now();
    this.#idle.push(connection);
    this.#idleInAll.connections++;
    if (this.#idle.length > this.#limits.idlePerHost) this.#idle[0]?.socket.destroy();
    this.#next();
  }

  #takeIdle(which: LeaseOptions["idle"]): H1Connection | null {
    if (which === "none") return null;
    const now = Date.now();
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      this.#idleInAll.connections--;
      const idleMs = now - connection.idleSinceMs;
      if (connection.usable && idleMs <= connection.keepMs && (which === "any" || idleMs <= RECENT_MS)) {
        return connection;
      }
      connection.socket.destroy();
    }
    return null;
  }

  /** Out of the idle ones. @returns whether it was one of them */
  #take(connection: H1Connection): boolean {
    const at = this.#idle.indexOf(connection);
    if (at < 0) return false;
    this.#idle.splice(at, 1);
    this.#idleInAll.connections--;
    return true;
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener("abort", done);
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }

  #next(): void {
    for (const look of this.#waiting) {
      look();
      return;
    }
  }
}

function sessionLease(session: H2Connection): Lease {
  return { address: session.address, call: (options) => session.call(options) };
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(new UpstreamError("aborted", "the request was given up"));
    };
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener("abort", abort);
    });
  });
}
