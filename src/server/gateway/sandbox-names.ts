/** The random names of sandboxes: made for an organisation's sandbox, found again by anybody who knows one. */
import type { Duplex } from "node:stream";
import { ANONYMOUS, DialError, type Target } from "../../gateway/gateway.ts";
import type { DomainTarget } from "../../runtime/domains.ts";
import { SbxError, type ErrorCode } from "../../runtime/errors.ts";
import type { OrganisationRuntime } from "../../runtime/organisations.ts";
import { ApiError } from "../api-error.ts";
import { findSandbox } from "../organisations/find-exactly.ts";
import type { Tenant } from "../organisations/tenant.ts";
import type { Tenants } from "../organisations/tenants.ts";
import { failureText, type ServerLog } from "../server-log.ts";
import type { TokenStore } from "../tokens/token-store.ts";
import type { DomainStore, NamedPlace, NameKind, NameRecord } from "./domain-store.ts";
import type { Asker } from "./http-door.ts";
import { LiveTargets } from "./live-targets.ts";
import { labelOf, makeLabel, RANDOM_LABEL, type NameResolver } from "./names.ts";

export interface SandboxNamesOptions {
  /** That the names are below. */
  domain: string;
  store: DomainStore;
  tenants: Pick<Tenants, "open">;
  tokens: Pick<TokenStore, "holds">;
  log: ServerLog;
  /** Epoch `ms`. */
  now: () => number;
}

/** What clients of a name are told; `gone` is answered as a name that never was. */
const TROUBLES: Partial<Record<ErrorCode, DialError["trouble"]>> = {
  sandbox_not_found: "gone",
  sandbox_ambiguous: "gone",
  sandbox_stopped: "gone",
  supervisor_lost: "gone",
  exposure_not_found: "gone",
  nothing_listens: "nothing-listens",
  sandbox_paused: "paused",
  insufficient_resources: "busy",
  timeout: "no-answer",
  aborted: "no-answer",
};
const LIVE: readonly string[] = ["creating", "running", "paused"];

interface SandboxTarget extends Target {
  /** Of the token behind its name. */
  readonly tokenId: string;
}

export class SandboxNames implements NameResolver {
  readonly #options: SandboxNamesOptions;
  readonly #targets = new LiveTargets<SandboxTarget>();
  #pruning: Promise<void> | undefined;
  #isOver = false;

  constructor(options: SandboxNamesOptions) {
    this.#options = options;
  }

  /** A new name. Recorded first: one that leads nowhere is found and removed, one that is lost would not be. */
  async make(
    { tenant, tokenId }: Asker,
    sandbox: string,
    kind: NameKind,
    port: string,
    target: DomainTarget | null,
  ): Promise<string> {
    const { store, domain, now } = this.#options;
    const label = makeLabel();
    const host = `${label}.${domain}`;
    store.add(label, { organisation: tenant.organisation, sandbox, kind, tokenId }, now());
    try {
      await tenant.runtime.domains.announce(sandbox, `${host}${port}`, target);
    } catch (error) {
      store.remove(label);
      throw error;
    }
    return host;
  }

  async remove(tenant: Tenant, sandbox: string, host: string): Promise<void> {
    const { store } = this.#options;
    await tenant.runtime.domains.withdraw(sandbox, host);
    store.remove(host.split(".")[0] ?? "");
  }

  /** The token behind a name that holds; undefined for any other. */
  tokenOf(label: string): string | undefined {
    if (!RANDOM_LABEL.test(label)) return undefined;
    const record = this.#options.store.find(label);
    return record !== undefined && this.#tokenHolds(record.tokenId) ? record.tokenId : undefined;
  }

  isEstablished(label: string): boolean {
    return this.tokenOf(label) !== undefined;
  }

  /** Those that are perhaps in use, and whose token does not hold any more. */
  lapsed(): Target[] {
    const verdicts = new Map<string, boolean>();
    return [...this.#targets].filter(({ tokenId }) => {
      const holds = verdicts.get(tokenId) ?? this.#tokenHolds(tokenId);
      verdicts.set(tokenId, holds);
      return !holds;
    });
  }

  find(label: string): Target | undefined {
    if (!RANDOM_LABEL.test(label)) return undefined;
    const record = this.#options.store.find(label);
    if (record === undefined || !this.#tokenHolds(record.tokenId)) return undefined;
    return this.#targets.of(label, () => ({
      tokenId: record.tokenId,
      subject: ANONYMOUS,
      isPaused: () => false, // its supervisor says so
      dial: async (first, signal) => this.#dial(label, record, first, signal),
      // Whom a server of the user's answers is that server's business; VS Code asks nobody who he is.
      takesForeignPages: record.kind === "http",
    }));
  }

  /** Forgets the names of sandboxes and tokens that are over. Never throws. */
  async prune(): Promise<void> {
    // A sandbox that does not answer is waited for once.
    this.#pruning ??= this.#prune().finally(() => (this.#pruning = undefined));
    await this.#pruning;
  }

  close(): void {
    this.#isOver = true;
  }

  async #prune(): Promise<void> {
    const places: NamedPlace[] = [];
    await this.#guarded(async () => void places.push(...this.#options.store.places()));
    for (const place of places) {
      if (this.#isOver) return;
      await this.#guarded(async () => this.#prunePlace(place));
    }
  }

  async #prunePlace(place: NamedPlace): Promise<void> {
    const { store, tenants } = this.#options;
    const { runtime } = await tenants.open(place.organisation);
    const isLive = await this.#isLive(runtime, place.sandbox);
    if (this.#isOver) return;
    if (!isLive) {
      store.removeAll(place);
      return;
    }
    const over = store.tokensAt(place).filter((tokenId) => !this.#tokenHolds(tokenId));
    if (over.length > 0) await this.#forgetTokens(runtime, place, over);
  }

  /** The sandbox's supervisor knows the names themselves, of which it takes a number. */
  async #forgetTokens({ domains }: OrganisationRuntime, place: NamedPlace, tokens: readonly string[]): Promise<void> {
    const { store, domain } = this.#options;
    for (const { domain: name } of await domains.list(place.sandbox)) {
      const label = labelOf(name, domain);
      if (this.#isOver) return;
      if (label === undefined || !tokens.includes(store.find(label)?.tokenId ?? "")) continue;
      await domains.withdraw(place.sandbox, name.replace(/:\d+$/, "")).catch(ignoreMissing);
    }
    if (this.#isOver) return;
    for (const tokenId of tokens) store.removeOfToken(tokenId, place);
  }

  async #dial(
    label: string,
    { organisation, sandbox }: NameRecord,
    first: Buffer | undefined,
    signal: AbortSignal,
  ): Promise<Duplex> {
    const { tenants, domain, log } = this.#options;
    try {
      const { runtime } = await tenants.open(organisation);
      return await runtime.domains.openHttp(sandbox, `${label}.${domain}`, { first, signal });
    } catch (error) {
      const trouble = error instanceof SbxError ? TROUBLES[error.code] : undefined;
      if (trouble === undefined) log.write("error", "gateway.failure", { sandbox, error: failureText(error) });
      throw new DialError(trouble ?? "no-answer", { cause: error });
    }
  }

  async #isLive(runtime: OrganisationRuntime, sandbox: string): Promise<boolean> {
    try {
      return LIVE.includes((await findSandbox(runtime, sandbox)).status);
    } catch (error) {
      if (error instanceof ApiError && error.code === "SANDBOX_NOT_FOUND") return false;
      throw error;
    }
  }

  #tokenHolds(tokenId: string): boolean {
    return this.#options.tokens.holds(tokenId, this.#options.now());
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#isOver) this.#options.log.write("error", "gateway.failure", { error: failureText(error) });
    }
  }
}

/** Somebody else has withdrawn it. */
function ignoreMissing(error: unknown): void {
  if (!(error instanceof SbxError) || error.code !== "exposure_not_found") throw error;
}
