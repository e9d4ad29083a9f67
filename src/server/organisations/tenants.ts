/** The organisations that somebody has asked for since the server started. */
import type { OrganisationRuntimes } from "../../runtime/organisations.ts";
import type { ServerConfig } from "../config.ts";
import { Tenant } from "./tenant.ts";

export class Tenants {
  readonly #runtimes: OrganisationRuntimes;
  readonly #config: ServerConfig;
  readonly #tenants = new Map<string, Tenant>();

  constructor(runtimes: OrganisationRuntimes, config: ServerConfig) {
    this.#runtimes = runtimes;
    this.#config = config;
  }

  /** @param organisation of the caller, as its token says */
  async open(organisation: string): Promise<Tenant> {
    const known = this.#tenants.get(organisation);
    if (known !== undefined) return known;
    const runtime = await this.#runtimes.open(organisation);
    // Another request may have come first; it has the same runtime, and there must be one count of what is made.
    const tenant =
      this.#tenants.get(organisation) ?? new Tenant(organisation, runtime, this.#config.quotasOf(organisation));
    this.#tenants.set(organisation, tenant);
    return tenant;
  }

  all(): Tenant[] {
    return [...this.#tenants.values()];
  }
}
