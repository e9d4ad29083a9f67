/**
 * Puts the host's side of a connection together: which addresses a target has, which of them may be dialled, and
 * whether a proxy stands between. An address that was checked is the one that is dialled, so that a name that changes
 * its addresses gains nothing.
 */
import { isIP, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { HOST_LOOPBACK_NAME } from "../../policy/host-name.ts";
import type { ProxySettings } from "../../policy/proxy-settings.ts";
import { renderTarget } from "../../policy/render.ts";
import type { ConnectionTarget, Decision } from "../../policy/spec.ts";
import { dial } from "./dial.ts";
import { OpenConnections } from "./open-connections.ts";
import { chooseProxy, type Proxy } from "./proxy-choice.ts";
import { openTunnel } from "./proxy-tunnel.ts";
import { type Lookup, Resolver } from "./resolver.ts";
import { createSystemLookup } from "./system-lookup.ts";
import { TlsClient } from "./tls-client.ts";
import {
  type LiveUpstream,
  type ResolveOverride,
  type UpstreamConnection,
  UpstreamError,
  type UpstreamTimeouts,
} from "./upstream.ts";

export const DEFAULT_TIMEOUTS: UpstreamTimeouts = { lookupMs: 15_000, dialMs: 30_000, proxyMs: 30_000, tlsMs: 20_000 };

/** The host's own loopback, as a guest may be allowed to reach it. */
const LOOPBACK_ADDRESSES = ["127.0.0.1", "::1"];

export interface UpstreamOptions {
  /** Whether this address of the target may be dialled; see {@link Policy.decideAddress}. */
  decideAddress: (target: ConnectionTarget, address: string) => Decision;
  overrides: readonly ResolveOverride[];
  proxy: ProxySettings | null;
  /** Trusted beside Node's own. */
  extraRootsPem: readonly string[];
  timeouts?: Partial<UpstreamTimeouts>;
  /** The system's, unless a test has its own. */
  lookup?: Lookup;
}

/** How a target is reached. */
type Route = { addresses: readonly string[]; isChosen: boolean } | { proxy: Proxy };

export function createUpstream(options: UpstreamOptions): LiveUpstream {
  return new HostUpstream(options);
}

class HostUpstream implements LiveUpstream {
  readonly #decideAddress: UpstreamOptions["decideAddress"];
  readonly #overrides: ReadonlyMap<string, string>;
  readonly #proxy: ProxySettings | null;
  readonly #timeouts: UpstreamTimeouts;
  readonly #resolver: Resolver;
  readonly #tls: TlsClient;
  readonly #open = new OpenConnections();

  constructor({
    decideAddress,
    overrides,
    proxy,
    extraRootsPem,
    timeouts,
    lookup = createSystemLookup(),
  }: UpstreamOptions) {
    this.#decideAddress = decideAddress;
    this.#overrides = new Map(overrides.map((override) => [renderTarget(override), override.address]));
    this.#proxy = proxy;
    this.#timeouts = { ...DEFAULT_TIMEOUTS, ...timeouts };
    this.#resolver = new Resolver(lookup, this.#timeouts.lookupMs);
    this.#tls = new TlsClient(extraRootsPem);
  }

  async connect(target: ConnectionTarget, signal: AbortSignal): Promise<UpstreamConnection> {
    return this.#keep(await this.#connect(target, signal), target);
  }

  async connectTls(
    target: ConnectionTarget,
    { alpnProtocols, signal }: { alpnProtocols: readonly string[]; signal: AbortSignal },
  ): Promise<UpstreamConnection<TLSSocket>> {
    const { socket, ...rest } = await this.#connect(target, signal);
    const options = { alpnProtocols, signal, timeoutMs: this.#timeouts.tlsMs };
    return this.#keep({ ...rest, socket: await this.#tls.handshake(socket, target, options) }, target);
  }

  async check(target: ConnectionTarget, signal: AbortSignal): Promise<void> {
    await this.#routeTo(target, signal);
  }

  reconsider(decideConnection: (target: ConnectionTarget) => Decision): void {
    this.#open.reconsider(({ target, address }) => {
      const decision = decideConnection(target);
      return decision.verdict === "deny" || address === null ? decision : this.#decideAddress(target, address);
    });
  }

  async #connect(target: ConnectionTarget, signal: AbortSignal): Promise<UpstreamConnection> {
    const route = await this.#routeTo(target, signal);
    if ("proxy" in route) return this.#connectByProxy(route.proxy, target, signal);
    return { ...(await this.#dial(target, route.addresses, signal)), isChosen: route.isChosen };
  }

  /** @throws UpstreamError where there is none */
  async #routeTo(target: ConnectionTarget, signal: AbortSignal): Promise<Route> {
    const pinned = this.#overrides.get(renderTarget(target));
    if (pinned !== undefined) return { addresses: [pinned], isChosen: true };
    const proxy = target.host === HOST_LOOPBACK_NAME ? null : chooseProxy(this.#proxy, target);
    if (proxy === null) {
      const addresses = this.#allowed(target, await this.#addressesOf(target.host, signal));
      return { addresses, isChosen: false };
    }
    // The proxy looks names up itself, so only a literal address can be judged.
    if (isIP(target.host) !== 0) this.#allowed(target, [target.host]);
    return { proxy };
  }

  /** The policy may have changed while the connection was made. */
  #keep<S extends Socket>(connection: UpstreamConnection<S>, target: ConnectionTarget): UpstreamConnection<S> {
    const { socket, isChosen } = connection;
    const address = isChosen === true ? null : connection.address;
    try {
      if (address !== null) this.#allowed(target, [address]);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    this.#open.add(socket, { target, address });
    return connection;
  }

  async #connectByProxy(proxy: Proxy, target: ConnectionTarget, signal: AbortSignal): Promise<UpstreamConnection> {
    const socket = await this.#connectToProxy(proxy, signal);
    await openTunnel(socket, proxy, target, { signal, timeoutMs: this.#timeouts.proxyMs });
    return { socket, address: `proxy ${renderTarget(proxy)}`, isChosen: true };
  }

  /** The user named the proxy: its address is not judged. */
  async #connectToProxy(proxy: Proxy, signal: AbortSignal): Promise<Socket> {
    try {
      const { socket } = await this.#dial(proxy, await this.#addressesOf(proxy.host, signal), signal);
      if (proxy.scheme === "http") return socket;
      const options = { alpnProtocols: ["http/1.1"], signal, timeoutMs: this.#timeouts.tlsMs };
      return await this.#tls.handshake(socket, proxy, options);
    } catch (error) {
      if (!(error instanceof UpstreamError) || error.code === "aborted") throw error;
      throw new UpstreamError(error.code, `the proxy of this machine: ${error.message}`, { cause: error });
    }
  }

  async #addressesOf(host: string, signal: AbortSignal): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host];
    if (host === HOST_LOOPBACK_NAME) return LOOPBACK_ADDRESSES;
    return this.#resolver.resolve(host, signal);
  }

  /** @throws UpstreamError `address_denied` where none is left */
  #allowed(target: ConnectionTarget, addresses: readonly string[]): readonly string[] {
    let denial: Decision | undefined;
    const allowed = addresses.filter((address) => {
      const decision = this.#decideAddress(target, address);
      if (decision.verdict === "deny") denial ??= decision;
      return decision.verdict === "allow";
    });
    if (denial !== undefined && allowed.length === 0) {
      throw new UpstreamError("address_denied", denial.reason, { decision: denial });
    }
    return allowed;
  }

  async #dial(
    target: ConnectionTarget,
    addresses: readonly string[],
    signal: AbortSignal,
  ): Promise<UpstreamConnection> {
    return dial(target, addresses, { signal, timeoutMs: this.#timeouts.dialMs });
  }
}
