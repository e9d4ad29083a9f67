/** What the API needs of the gateway. */
import type { AppAddress } from "../../runtime/apps.ts";
import type { DomainTarget } from "../../runtime/domains.ts";
import type { Exposure } from "../../runtime/exposures.ts";
import type { Tenant } from "../organisations/tenant.ts";
import type { NameKind } from "./domain-store.ts";

/** Who asks for a name, which holds no longer than the token. */
export interface Asker {
  tenant: Tenant;
  tokenId: string;
}

export interface HttpDoor {
  /**
   * A new name for a running sandbox, good as long as that runs and the asker's token holds: `name.example`, with a port
   * where that is not 443's. It leads nowhere until it is bound, by the target or by the sandbox's client.
   *
   * @throws SbxError `usage` where the sandbox has too many
   */
  mint(asker: Asker, sandboxId: string, kind: NameKind, target: DomainTarget | null): Promise<string>;
  /** Where an app is found; undefined where its name is too long for one. */
  appHost(organisation: string, address: AppAddress): string | undefined;
  /** A port's URL, the same one if the asker's token has one. */
  expose(asker: Asker, sandboxId: string, guestPort: number): Promise<Exposure>;
  /** The URLs that hold, whichever tokens asked for them. */
  list(tenant: Tenant, sandboxId: string): Promise<Exposure[]>;
  /** Takes the URLs of a port away. @throws SbxError `exposure_not_found` */
  remove(tenant: Tenant, sandboxId: string, guestPort: number): Promise<Exposure>;
}
