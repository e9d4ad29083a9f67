/**
 * TLS towards an upstream. The certificate is verified for the host that was asked for, always: no option and no
 * variable of the environment (NODE_TLS_REJECT_UNAUTHORIZED) changes that.
 */
import { isIP, type Socket } from "node:net";
import {
  checkServerIdentity,
  connect,
  createSecureContext,
  getCACertificates,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { renderTarget } from "../../policy/render.ts";
import type { ConnectionTarget } from "../../policy/spec.ts";
import { tlsFailure } from "./failures.ts";
import { UpstreamError } from "./upstream.ts";

/** A session takes about 3 kB. */
const MAX_SESSIONS = 256;
/** A day is common among servers; keys that are not kept cannot be stolen. */
const SESSION_LIFE_MS = 3_600_000;

export interface HandshakeOptions {
  alpnProtocols: readonly string[];
  signal: AbortSignal;
  timeoutMs: number;
}

export class TlsClient {
  readonly #extraRootsPem: readonly string[];
  /** By host and port, in the order of their arrival. Only of connections whose certificate was verified. */
  readonly #sessions = new Map<string, { session: Buffer; until: number }>();
  #context: SecureContext | undefined;

  /** @param extraRootsPem trusted beside Node's own roots */
  constructor(extraRootsPem: readonly string[]) {
    this.#extraRootsPem = extraRootsPem;
  }

  /**
   * Speaks TLS over a connected socket with a server that has to be `target.host`. Destroys the socket if it fails.
   *
   * @throws UpstreamError
   */
  handshake(socket: Socket, target: ConnectionTarget, options: HandshakeOptions): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const { alpnProtocols, signal, timeoutMs } = options;
      const session = this.#findSession(target);
      const secure = connect({
        socket,
        // Without a name in the hello for an address (RFC 6066, section 3).
        servername: isIP(target.host) === 0 ? target.host : "",
        checkServerIdentity: (_, certificate) => checkServerIdentity(target.host, certificate),
        rejectUnauthorized: true,
        secureContext: (this.#context ??= this.#makeContext()),
        ...(alpnProtocols.length > 0 ? { ALPNProtocols: [...alpnProtocols] } : {}),
        ...(session === undefined ? {} : { session }),
      });
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      };
      const fail = (error: UpstreamError) => {
        settle();
        secure.destroy();
        socket.destroy();
        reject(error);
      };
      const name = renderTarget(target);
      const onAbort = () => fail(new UpstreamError("aborted", `connecting to ${name} was aborted`));
      const timer = setTimeout(() => {
        fail(new UpstreamError("timeout", `${name} did not finish the TLS handshake within ${timeoutMs / 1000} s`));
      }, timeoutMs);
      signal.addEventListener("abort", onAbort);
      // Stays for the life of the socket; see dial.ts.
      secure.on("error", (error) => fail(tlsFailure(target, error)));
      secure.once("close", () =>
        fail(new UpstreamError("reset", `${name} closed the connection during the TLS handshake`)),
      );
      secure.on("session", (received) => this.#keepSession(target, secure, received));
      secure.once("secureConnect", () => {
        settle();
        resolve(secure);
      });
      if (signal.aborted) onAbort();
    });
  }

  #makeContext(): SecureContext {
    // The default roots alone are parsed once for the whole process, so they are not named where they are enough.
    const ca = this.#extraRootsPem.length > 0 ? [...getCACertificates("default"), ...this.#extraRootsPem] : undefined;
    return createSecureContext({ minVersion: "TLSv1.2", ...(ca === undefined ? {} : { ca }) });
  }

  #findSession(target: ConnectionTarget): Buffer | undefined {
    const key = renderTarget(target);
    const known = this.#sessions.get(key);
    if (known === undefined) return undefined;
    if (Date.now() < known.until) return known.session;
    this.#sessions.delete(key);
    return undefined;
  }

  #keepSession(target: ConnectionTarget, secure: TLSSocket, session: Buffer): void {
    if (!secure.authorized) return;
    const key = renderTarget(target);
    this.#sessions.delete(key);
    this.#sessions.set(key, { session, until: Date.now() + SESSION_LIFE_MS });
    if (this.#sessions.size <= MAX_SESSIONS) return;
    for (const oldest of this.#sessions.keys()) {
      this.#sessions.delete(oldest);
      return;
    }
  }
}
