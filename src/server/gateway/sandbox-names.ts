/** The random names of sandboxes: made for an organisation's sandbox, found again by anybody who knows one. */
import type { Duplex } from "node:stream";
import { ANONYMOUS, DialError, type Target } from "../../gateway/gateway.ts";
import type { DomainTarget } from "../../runtime/domains.ts";
import { SbxError, type ErrorCode } from "../../runtime/errors.ts";
import type { Tenant } from "../organisations/tenant.ts";
import type { Tenants } from "../organisations/tenants.ts";
import { failureText, type ServerLog } from "../server-log.ts";
import type { DomainStore, NameKind, NameRecord } from "./domain-store.ts";
import { makeLabel, RANDOM_LABEL, type NameResolver } from "./names.ts";

export interface SandboxNamesOptions {
  /** That the names are below. */
  domain: string;
  store: DomainStore;
  tenants: Pick<Tenants, "open">;
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

export class SandboxNames implements NameResolver {
  readonly #options: SandboxNamesOptions;
  /** Those that somebody has asked for. */
  readonly #targets = new Map<string, Target>();
  #isOver = false;

  constructor(options: SandboxNamesOptions) {
    this.#options = options;
  }

  /** A new name. Recorded first: one that leads nowhere is found and removed, one that is lost would not be. */
  async make(
    tenant: Tenant,
    sandbox: string,
    kind: NameKind,
    port: string,
    target: DomainTarget | null,
  ): Promise<string> {
    const { store, domain, now } = this.#options;
    const label = makeLabel();
    const host = `${label}.${domain}`;
    store.add(label, { organisation: tenant.organisation, sandbox, kind }, now());
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
    const label = host.split(".")[0] ?? "";
    store.remove(label);
    this.#targets.delete(label);
  }

  find(label: string): Target | undefined {
    if (!RANDOM_LABEL.test(label)) return undefined;
    const record = this.#options.store.find(label);
    if (record === undefined) {
      this.#targets.delete(label);
      return undefined;
    }
    const known = this.#targets.get(label);
    if (known !== undefined) return known;
    const target: Target = {
      subject: ANONYMOUS,
      isPaused: () => false, // its supervisor says so
      dial: async (first, signal) => this.#dial(label, record, first, signal),
      // Whom a server of the user's answers is that server's business; VS Code asks nobody who he is.
      takesForeignPages: record.kind === "http",
    };
    this.#targets.set(label, target);
    return target;
  }

  /** Forgets the names of sandboxes that are over. Never throws. */
  async prune(): Promise<void> {
    const { store, log } = this.#options;
    try {
      for (const place of store.places()) {
        const isLive = await this.#isLive(place);
        if (this.#isOver) return;
        if (!isLive) store.removeAll(place);
      }
    } catch (error) {
      if (!this.#isOver) log.write("error", "gateway.failure", { error: failureText(error) });
    }
  }

  close(): void {
    this.#isOver = true;
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

  async #isLive({ organisation, sandbox }: { organisation: string; sandbox: string }): Promise<boolean> {
    const { runtime } = await this.#options.tenants.open(organisation);
    try {
      return LIVE.includes((await runtime.get(sandbox)).status);
    } catch (error) {
      if (error instanceof SbxError && error.code === "sandbox_not_found") return false;
      throw error;
    }
  }
}
