/**
 * Organisations: the tenants of a control plane. Each has a runtime of its own, so what one has, another one's runtime
 * does not know; only images are common to all.
 */
import type { AppDoor } from "./apps.ts";
import type { DomainApi } from "./domains.ts";
import type { Runtime } from "./runtime.ts";

/** The user's own: its sandboxes are those of the command line on the same machine. */
export const OWN_ORGANISATION = "local";

/** As long as a DNS label may be, and in the form of one. */
export const ORGANISATION_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** What a control plane needs beyond what commands do. */
export interface OrganisationRuntime extends Runtime {
  readonly domains: DomainApi;
  readonly appDoor: AppDoor;
}

export interface OrganisationRuntimes extends AsyncDisposable {
  /**
   * The runtime of an organisation, opened when it is first asked for, and always the same one.
   *
   * @param name of the form of {@link ORGANISATION_NAME}
   */
  open(name: string): Promise<OrganisationRuntime>;
}
