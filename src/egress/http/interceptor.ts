/**
 * The guest's HTTP, read: TLS is ended here, every request is judged, changed by hooks, given its secrets and sent on by
 * a connection of the host's own. Guests and upstreams are both hostile; neither ever sees a byte that the other wrote
 * outside of a message that was parsed and written anew.
 */
import type { Duplex } from "node:stream";
import type { SecureContext } from "node:tls";
import type { Decision, RequestTarget } from "../../policy/spec.ts";
import type { AuditSink } from "../audit-event.ts";
import type { Hooks } from "../hooks/hooks.ts";
import type { LeakAction, Secrets } from "../secrets/secrets.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { answerFailure } from "./answer-guest.ts";
import { carry, type CarryContext } from "./carry.ts";
import type { Carrier, FlowFacts, GuestExchange } from "./exchange.ts";
import { GuestConnection, GuestConnections } from "./guest-connections.ts";
import { GuestH1, type ResponseBytes, type SeenRequest } from "./guest-h1.ts";
import { serveH2 } from "./guest-h2.ts";
import { acceptGuestTls } from "./guest-tls.ts";
import { headBytes, HeldBytes } from "./held-bytes.ts";
import { DEFAULT_LIMITS, type HttpLimits } from "./limits.ts";
import { speaksH2 } from "./preface.ts";
import { Refusal, refusalAnswer } from "./refusal.ts";
import { RequestRecord } from "./request-record.ts";
import { UpstreamPool } from "./upstream-pool.ts";
import { WebSocketRelay } from "./websocket-relay.ts";

export type { FlowFacts } from "./exchange.ts";
export type { HttpLimits } from "./limits.ts";

export interface InterceptorOptions {
  /** With a certificate for the host, of the sandbox's authority. */
  secureContext(host: string): SecureContext;
  decide(target: RequestTarget, signal: AbortSignal): Promise<Decision>;
  secrets: Secrets;
  hooks: Hooks | null;
  onLeak: LeakAction;
  upstream: Upstream;
  audit: AuditSink;
  /** What the user calls the sandbox, for the command that would allow something. */
  sandboxRef: string;
  limits?: Partial<HttpLimits>;
}

export interface Interceptor {
  /**
   * @param stream the flow from its first byte, with its ClientHello put back
   * @param facts `host` is the canonical name that SNI was found to be
   */
  serveTls(stream: Duplex, facts: FlowFacts): void;
  /** HTTP/1.1, or HTTP/2 with prior knowledge. */
  servePlain(stream: Duplex, facts: FlowFacts): void;
  /** Ends every connection, on both sides. */
  close(): void;
}

const SWEEP_MS = 5000;

export function createInterceptor(options: InterceptorOptions): Interceptor {
  return new HttpInterceptor(options);
}

class HttpInterceptor implements Interceptor {
  readonly #options: InterceptorOptions;
  readonly #limits: HttpLimits;
  readonly #connections: GuestConnections;
  readonly #pool: UpstreamPool;
  readonly #context: CarryContext;
  readonly #h1: GuestH1;
  readonly #webSockets: WebSocketRelay;
  readonly #sweep: NodeJS.Timeout;
  /** Of requests that are under way. */
  readonly #heads: HeldBytes;
  #exchanges = 0;
  #closed = false;

  constructor(options: InterceptorOptions) {
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#options = options;
    this.#limits = limits;
    this.#connections = new GuestConnections(limits.guestIdleMs);
    this.#pool = new UpstreamPool(options.upstream, limits);
    this.#context = {
      decide: (target, signal) => options.decide(target, signal),
      secrets: options.secrets,
      hooks: options.hooks,
      onLeak: options.onLeak,
      audit: options.audit,
      sandboxRef: options.sandboxRef,
      pool: this.#pool,
      gathered: new HeldBytes(limits.gatheredBytes),
      limits,
    };
    this.#webSockets = new WebSocketRelay(this.#context);
    this.#heads = new HeldBytes(limits.headBytes);
    this.#h1 = new GuestH1(limits, {
      exchange: (exchange) => this.#carry(exchange),
      refused: (connection, refusal, seen) => this.#refused(connection, refusal, seen),
      webSocket: (upgrade) => this.#webSockets.accept(upgrade),
    });
    const sweepMs = Math.min(SWEEP_MS, limits.guestIdleMs, limits.upstreamIdleMs);
    this.#sweep = setInterval(() => {
      this.#connections.sweep(Date.now());
      this.#pool.sweep(Date.now());
    }, sweepMs).unref();
  }

  serveTls(stream: Duplex, facts: FlowFacts): void {
    const connection = this.#add(stream, facts, "https");
    if (connection === null) return;
    let context: SecureContext;
    try {
      context = this.#options.secureContext(facts.host);
    } catch (error) {
      this.#broken(connection, error);
      stream.destroy();
      return;
    }
    acceptGuestTls(stream, facts.host, context).then(
      ({ socket, protocol }) => {
        if (this.#closed) socket.destroy();
        else if (protocol === "h2") this.#serveH2(socket, connection);
        else this.#h1.serve(socket, connection);
      },
      (error: unknown) => this.#broken(connection, error),
    );
  }

  servePlain(stream: Duplex, facts: FlowFacts): void {
    const connection = this.#add(stream, facts, "http");
    if (connection === null) return;
    speaksH2(stream).then(
      (h2) => {
        if (this.#closed || stream.destroyed) stream.destroy();
        else if (h2) this.#serveH2(stream, connection);
        else this.#h1.serve(stream, connection);
      },
      () => stream.destroy(),
    );
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#sweep);
    this.#connections.destroyAll();
    this.#pool.close();
  }

  #add(stream: Duplex, facts: FlowFacts, scheme: "http" | "https"): GuestConnection | null {
    // A guest resets its connections when it likes; who reads them is told, and nobody else must die of it.
    stream.on("error", () => undefined);
    if (this.#closed || stream.destroyed) {
      stream.destroy();
      return null;
    }
    const connection = new GuestConnection(stream, facts, scheme);
    this.#connections.add(connection);
    return connection;
  }

  #serveH2(stream: Duplex, connection: GuestConnection): void {
    serveH2(stream, connection, this.#limits, {
      exchange: (exchange) => this.#carry(exchange),
      refused: (from, refusal, seen) => this.#refused(from, refusal, seen),
    });
  }

  async #carry(exchange: GuestExchange): Promise<void> {
    const { carrier, head } = exchange;
    const bytes = headBytes(head);
    const room = this.#exchanges < this.#limits.exchanges;
    if (!room || !this.#heads.tryAdd(bytes)) {
      const what = room ? "requests with as large headers as may be" : `more than ${this.#limits.exchanges} requests`;
      const record = new RequestRecord(this.#context, carrier.facts, carrier.authority, head.method, head.target);
      answerFailure(this.#context, exchange, record, new Refusal(503, "overloaded", `${what} are under way`));
      record.write();
      return;
    }
    this.#exchanges++;
    try {
      await carry(this.#context, exchange);
    } catch (error) {
      this.#faulted(exchange, error);
    } finally {
      this.#exchanges--;
      this.#heads.add(-bytes);
    }
  }

  /** A fault of ours costs the one request and not the sandbox. */
  #faulted(exchange: GuestExchange, error: unknown): void {
    try {
      exchange.abort();
    } finally {
      this.#broken(exchange.carrier, error);
    }
  }

  #refused(connection: GuestConnection, refusal: Refusal, seen: SeenRequest | null): ResponseBytes {
    const { facts, authority } = connection;
    const record = new RequestRecord(this.#context, facts, authority, seen?.method ?? "", seen?.target ?? "");
    record.refused(refusal);
    record.write();
    return refusalAnswer(refusal, this.#options.sandboxRef, (text) => this.#options.secrets.scrubText(text));
  }

  /** A connection that never got as far as a request, or a request that met a fault. */
  #broken({ facts }: Carrier, error: unknown): void {
    const { flow, host, port } = facts;
    const message = error instanceof Error ? error.message : String(error);
    this.#options.audit({
      time: Date.now(),
      kind: "connection",
      verdict: "deny",
      flow,
      host,
      port,
      via: "intercept",
      error: this.#options.secrets.scrubText(message),
    });
  }
}
