/** The host's own side of a connection: from a name to a checked address to a socket, directly or by way of a proxy. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ConnectionTarget, Decision } from "../../policy/spec.ts";

export type UpstreamErrorCode =
  /** Every address that the name has is one that the policy keeps closed. */
  | "address_denied"
  | "unresolved"
  | "refused"
  | "unreachable"
  | "timeout"
  | "reset"
  /** The certificate is expired, self-signed, for another name, of an unknown authority. */
  | "certificate"
  | "tls"
  /** The corporate proxy said no. */
  | "proxy"
  | "aborted";

export class UpstreamError extends Error {
  override readonly name = "UpstreamError";
  readonly code: UpstreamErrorCode;
  /** For `address_denied`. */
  readonly decision: Decision | undefined;
  constructor(code: UpstreamErrorCode, message: string, options: { cause?: unknown; decision?: Decision } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.decision = options.decision;
  }
}

export interface UpstreamConnection<S extends Socket = Socket> {
  socket: S;
  /** What was dialled: the checked address, or `proxy HOST:PORT`. */
  address: string;
  /** The user chose what is dialled (`--resolve`, a proxy), so the policy was not asked about it. */
  isChosen?: boolean;
}

/** A name's addresses, or a pinned one (`--resolve host:port:addr`), which counts as named by the user. */
export interface ResolveOverride {
  host: string;
  port: number;
  address: string;
}

/** How long each step may take, `ms`. */
export interface UpstreamTimeouts {
  /** From a name to its addresses. */
  lookupMs: number;
  /** To a connected socket, over all addresses. */
  dialMs: number;
  /** A proxy's answer to CONNECT. */
  proxyMs: number;
  tlsMs: number;
}

/**
 * Sockets are connected, without delay and with keep-alive; those that end badly do not throw where nobody listens. The
 * signal ends the attempt, not a connection that there is.
 */
export interface Upstream {
  /** @throws UpstreamError */
  connect(target: ConnectionTarget, signal: AbortSignal): Promise<UpstreamConnection>;
  /**
   * TLS with the certificate verified for `target.host`, always. `alpnProtocols` are offered in this order.
   *
   * @throws UpstreamError
   */
  connectTls(
    target: ConnectionTarget,
    options: { alpnProtocols: readonly string[]; signal: AbortSignal },
  ): Promise<UpstreamConnection<TLSSocket>>;
}

/** One whose policy may change while its connections are open. */
export interface LiveUpstream extends Upstream {
  /**
   * Everything that {@link connect} does before it dials: the target has to have an address, and one that may be dialled.
   *
   * @throws UpstreamError
   */
  check(target: ConnectionTarget, signal: AbortSignal): Promise<void>;
  /** Ends the open connections whose target is denied by now, or whose address is. */
  reconsider(decideConnection: (target: ConnectionTarget) => Decision): void;
}
