/**
 * The public HTTP gateway: servers of sandboxes under names of one domain. Who knows a name has access, whoever that is;
 * for anybody else all names are alike. Each request is judged by src/gateway; this is what it is told about names,
 * certificates and the world.
 */
import type { Socket } from "node:net";
import { openGateway, type Gateway, type GatewayTls, type HeadRewriter, type Target } from "../../gateway/gateway.ts";
import type { AppAddress } from "../../runtime/apps.ts";
import type { Domain, DomainTarget } from "../../runtime/domains.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { Exposure } from "../../runtime/exposures.ts";
import { KeyedMutex } from "../organisations/mutex.ts";
import type { Tenant } from "../organisations/tenant.ts";
import type { Tenants } from "../organisations/tenants.ts";
import { failureText, type ServerLog } from "../server-log.ts";
import type { TokenStore } from "../tokens/token-store.ts";
import { DomainStore, type NameKind } from "./domain-store.ts";
import { forwardHead } from "./forwarded-head.ts";
import { GivenCertificate, type CertificateFiles } from "./given-certificate.ts";
import type { Asker, HttpDoor } from "./http-door.ts";
import { GOODBYE_MS, KEEP_ALIVE_MS, PRUNE_MS, PUBLIC_LIMITS, SWEEP_MS } from "./limits.ts";
import { appLabel, AppNames } from "./app-names.ts";
import { labelOf, type NameResolver } from "./names.ts";
import { openOwnAuthority } from "./own-authority.ts";
import { SandboxNames } from "./sandbox-names.ts";

export interface PublicGatewaySettings {
  /** Of the server's records, which exists. */
  directory: string;
  listen: { host: string; port: number };
  /** Whether a free port is as good as the one in `listen`. */
  orFreePort: boolean;
  /** That names are below. */
  domain: string;
  /** Whose TLS it is: the gateway's with a certificate of its own or a given one, or a proxy's in front of it. */
  tls: "own" | "proxy" | CertificateFiles;
  /** What clients connect to, where that is something else than the port it listens on. */
  publicPort: number | null;
  /** Between two looks at a given certificate's files, `ms`, for tests. */
  lookMs?: number;
}

export interface PublicGatewayOptions extends PublicGatewaySettings {
  tenants: Tenants;
  tokens: Pick<TokenStore, "holds">;
  /** Whether there is an organisation of this name. */
  isOrganisation: (name: string) => boolean;
  log: ServerLog;
  /** Epoch `ms`. */
  now: () => number;
}

/** A port's URL and what is behind it. */
interface HostExposure {
  host: string;
  tokenId: string;
  exposure: Exposure;
}

interface Certificates {
  tls: GatewayTls | undefined;
  certificatePath: string | null;
}

const HTTPS_PORT = 443;
const LOOPBACK_NAMES: readonly string[] = ["localhost", "127.0.0.1", "::1"];

export class PublicGateway implements HttpDoor, AsyncDisposable {
  /** For programs to trust; null where the certificate is none of its own. */
  readonly certificatePath: string | null;
  readonly domain: string;
  readonly #options: PublicGatewayOptions;
  readonly #certificates: Certificates;
  readonly #store: DomainStore;
  readonly #names: SandboxNames;
  readonly #resolvers: readonly NameResolver[];
  readonly #timers: readonly NodeJS.Timeout[];
  /** One after the other for a sandbox: a token has one URL for a port. */
  readonly #exposing = new KeyedMutex();
  #gateway: Gateway | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: PublicGatewayOptions, certificates: Certificates, store: DomainStore) {
    const { domain, tenants, tokens, isOrganisation, log, now } = options;
    this.#options = options;
    this.domain = domain;
    this.certificatePath = certificates.certificatePath;
    this.#certificates = certificates;
    this.#store = store;
    this.#names = new SandboxNames({ domain, store, tenants, tokens, log, now });
    this.#resolvers = [this.#names, new AppNames({ tenants, isOrganisation, log })];
    this.#timers = [
      setInterval(() => this.#sweep(), SWEEP_MS).unref(),
      setInterval(() => void this.#names.prune(), PRUNE_MS).unref(),
    ];
  }

  /** Listens. @throws SbxError `port_in_use`, `usage`, `config_invalid` for a certificate that is none */
  static async open(options: PublicGatewayOptions): Promise<PublicGateway> {
    let names: PublicGateway | undefined;
    const certificates = await openCertificates(options, (label) => names !== undefined && names.#isEstablished(label));
    const gateway = (names = new PublicGateway(options, certificates, DomainStore.open(options.directory)));
    try {
      gateway.#gateway = await gateway.#listen();
    } catch (error) {
      await gateway[Symbol.asyncDispose]();
      throw error;
    }
    void gateway.#names.prune();
    return gateway;
  }

  get connections(): number {
    return this.#gateway?.connections ?? 0;
  }

  /** Where clients find it. */
  get port(): number {
    return this.#options.publicPort ?? this.#gateway?.port ?? 0;
  }

  appHost(organisation: string, address: AppAddress): string | undefined {
    const label = appLabel(organisation, address);
    return label === undefined ? undefined : `${label}.${this.domain}${this.#portSuffix}`;
  }

  async mint(asker: Asker, sandboxId: string, kind: NameKind, target: DomainTarget | null): Promise<string> {
    const host = await this.#names.make(asker, sandboxId, kind, this.#portSuffix, target);
    return `${host}${this.#portSuffix}`;
  }

  async expose(asker: Asker, sandboxId: string, guestPort: number): Promise<Exposure> {
    const { tenant, tokenId } = asker;
    const own = async (): Promise<Exposure | undefined> =>
      (await this.#exposuresOf(tenant, sandboxId, guestPort)).find((found) => found.tokenId === tokenId)?.exposure;
    return this.#exposing.run(`${tenant.organisation} ${sandboxId}`, async () => {
      const there = await own();
      if (there !== undefined) return there;
      await this.mint(asker, sandboxId, "http", { guestPort });
      const made = await own();
      if (made === undefined) throw new SbxError("sandbox_stopped", "the sandbox has ended", { hint: "sbx list" });
      return made;
    });
  }

  async list(tenant: Tenant, sandboxId: string): Promise<Exposure[]> {
    const exposed = await this.#exposuresOf(tenant, sandboxId);
    return exposed.map(({ exposure }) => exposure).toSorted((a, b) => a.guestPort - b.guestPort);
  }

  async remove(tenant: Tenant, sandboxId: string, guestPort: number): Promise<Exposure> {
    const [first, ...others] = await this.#exposuresOf(tenant, sandboxId, guestPort);
    if (first === undefined) {
      throw new SbxError("exposure_not_found", `port ${guestPort} of ${sandboxId} has no URL`, {
        hint: `sbx expose ${sandboxId}`,
      });
    }
    for (const { host } of [first, ...others]) await this.#names.remove(tenant, sandboxId, host);
    return first.exposure;
  }

  /** Takes no new clients, and lets answers that are under way come to their end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#names.close();
    await this.#gateway?.drain(GOODBYE_MS);
    const { tls } = this.#certificates;
    if (tls instanceof GivenCertificate) tls[Symbol.dispose]();
    this.#store[Symbol.dispose]();
  }

  get #portSuffix(): string {
    return this.port === HTTPS_PORT ? "" : `:${this.port}`;
  }

  async #exposuresOf(tenant: Tenant, sandboxId: string, guestPort?: number): Promise<HostExposure[]> {
    const domains = await tenant.runtime.domains.list(sandboxId);
    return domains.flatMap((domain) => {
      const found = this.#toExposure(domain);
      return found === undefined || (guestPort ?? found.exposure.guestPort) !== found.exposure.guestPort ? [] : [found];
    });
  }

  /** Undefined for a name that is bound to no port, does not hold, or is none of this gateway's. */
  #toExposure({ domain, target, createdAt }: Domain): HostExposure | undefined {
    const label = labelOf(domain, this.domain);
    const tokenId = label === undefined ? undefined : this.#names.tokenOf(label);
    if (target === undefined || !("guestPort" in target) || tokenId === undefined) return undefined;
    const host = domain.replace(/:\d+$/, "");
    const url = `https://${host}${this.#portSuffix}`;
    return { host, tokenId, exposure: { guestPort: target.guestPort, hostPort: this.port, url, createdAt } };
  }

  async #listen(): Promise<Gateway> {
    const { listen, orFreePort } = this.#options;
    const { host, port } = listen;
    const { tls } = this.#certificates;
    const options = {
      addresses: LOOPBACK_NAMES.includes(host) ? ["127.0.0.1", "::1"] : [host],
      find: (field: string): Target | undefined => this.#find(field),
      limits: PUBLIC_LIMITS,
      keepAliveMs: KEEP_ALIVE_MS,
      ...(tls === undefined ? {} : { tls }),
      rewriterFor: (socket: Socket) => this.#rewriterFor(socket),
    };
    try {
      return await openGateway({ ...options, port });
    } catch (cause) {
      const isTaken = (cause as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (isTaken && orFreePort) return openGateway({ ...options, port: 0 });
      throw new SbxError(isTaken ? "port_in_use" : "usage", `the gateway cannot listen on ${host}:${port}`, {
        cause,
        hint: isTaken ? "choose another one: sbx serve --gateway-listen 127.0.0.1:0" : "sbx serve --gateway-listen off",
      });
    }
  }

  /** Hangs up on those whose name's token does not hold any more. */
  #sweep(): void {
    try {
      for (const target of this.#names.lapsed()) this.#gateway?.drop(target);
    } catch (error) {
      this.#options.log.write("error", "gateway.failure", { error: failureText(error) });
    }
  }

  /** Records that cannot be read are one client's trouble, and the operator's. */
  #find(field: string): Target | undefined {
    const label = labelOf(field, this.domain);
    if (label === undefined) return undefined;
    try {
      for (const resolver of this.#resolvers) {
        const target = resolver.find(label);
        if (target !== undefined) return target;
      }
    } catch (error) {
      this.#options.log.write("error", "gateway.failure", { error: failureText(error) });
    }
    return undefined;
  }

  #isEstablished(label: string): boolean {
    try {
      return this.#resolvers.some((resolver) => resolver.isEstablished(label));
    } catch {
      return false; // the request will say why
    }
  }

  #rewriterFor(socket: Socket): HeadRewriter {
    const isProxied = this.#options.tls === "proxy";
    const address = isProxied ? null : (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
    return (head, host) => {
      const name = host.replace(/:\d+$/, "");
      return forwardHead(head, { host: `${name}${this.#portSuffix}`, address, isOnce: isProxied });
    };
  }
}

async function openCertificates(
  { tls, directory, domain, log, now, lookMs }: PublicGatewayOptions,
  isEstablished: (label: string) => boolean,
): Promise<Certificates> {
  if (tls === "proxy") return { tls: undefined, certificatePath: null };
  if (tls === "own") return openOwnAuthority(directory, domain, { now, isEstablished });
  return { tls: new GivenCertificate(tls, log, lookMs), certificatePath: null };
}
