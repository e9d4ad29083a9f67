/**
 * Names of apps: `SLUG` of the user's own organisation, `SLUG--ORGANISATION` of another one, and `SLUG-REVISION` for a
 * preview. They are no secrets, but a name that leads nowhere is answered as any other one that was never there.
 */
import type { Duplex } from "node:stream";
import { ANONYMOUS } from "../../gateway/answers.ts";
import { DialError, type Target } from "../../gateway/gateway.ts";
import type { AppAddress, AppConnection } from "../../runtime/apps.ts";
import { SbxError, type ErrorCode } from "../../runtime/errors.ts";
import { OWN_ORGANISATION } from "../../runtime/organisations.ts";
import { APP_SLUG, REVISION_ID } from "../../protocol/app-values.ts";
import { ApiError } from "../api-error.ts";
import type { Tenants } from "../organisations/tenants.ts";
import { failureText, type ServerLog } from "../server-log.ts";
import { LiveTargets } from "./live-targets.ts";
import type { NameResolver } from "./names.ts";

/** A DNS label (RFC 1035, 2.3.4). */
const MAX_LABEL_CHARS = 63;
/** Names behind which something answered lately, which no stranger can add to; of more, the oldest are forgotten. */
const MAX_ANSWERED = 1024;

export interface AppNamesOptions {
  tenants: Pick<Tenants, "open">;
  /** Whether there is such an organisation. Nobody's asking makes one. */
  isOrganisation: (name: string) => boolean;
  log: ServerLog;
}

/** What clients of a name are told; `gone` is answered as a name that never was. */
const TROUBLES: Partial<Record<ErrorCode, DialError["trouble"]>> = {
  app_not_found: "gone",
  guest_error: "not-up",
  sandbox_paused: "paused",
  insufficient_resources: "busy",
  timeout: "no-answer",
  aborted: "no-answer",
};

export interface AppPlace {
  organisation: string;
  /** What the label may mean, the first that is there counts: a slug may end as a revision's id does. */
  addresses: AppAddress[];
}

export class AppNames implements NameResolver {
  readonly #options: AppNamesOptions;
  readonly #targets = new LiveTargets<Target>();
  /** In the order of their last connection. */
  readonly #answered = new Set<string>();
  readonly #connections = new WeakMap<Duplex, AppConnection>();

  constructor(options: AppNamesOptions) {
    this.#options = options;
  }

  find(label: string): Target | undefined {
    const place = readAppLabel(label);
    if (place === undefined || !this.#options.isOrganisation(place.organisation)) return undefined;
    return this.#targets.of(label, () => ({
      subject: ANONYMOUS,
      isPaused: () => false,
      dial: async (first, signal) => {
        const stream = await this.#dial(place, first, signal);
        this.#remember(label);
        return stream;
      },
      seatOf: (stream) => this.#connections.get(stream),
      takesForeignPages: true, // an app's own business
    }));
  }

  isEstablished(label: string): boolean {
    return this.#answered.has(label);
  }

  #remember(label: string): void {
    this.#answered.delete(label);
    this.#answered.add(label);
    const [oldest] = this.#answered;
    if (this.#answered.size > MAX_ANSWERED && oldest !== undefined) this.#answered.delete(oldest);
  }

  async #dial({ organisation, addresses }: AppPlace, first: Buffer | undefined, signal: AbortSignal): Promise<Duplex> {
    const { tenants, log } = this.#options;
    const tenant = await tenants.open(organisation);
    for (const address of addresses) {
      try {
        const admit: typeof tenant.admit = async (demand, make) => tenant.admit(demand, make);
        const connection = await tenant.runtime.appDoor.openHttp(address, { first, signal, admit });
        this.#connections.set(connection.stream, connection);
        return connection.stream;
      } catch (error) {
        const isMissing = error instanceof SbxError && error.code === "app_not_found";
        if (isMissing && address !== addresses.at(-1)) continue;
        const trouble = troubleOf(error);
        if (trouble === undefined) log.write("error", "gateway.failure", { ...address, error: failureText(error) });
        throw new DialError(trouble ?? "no-answer", { cause: error });
      }
    }
    throw new DialError("gone");
  }
}

/** The label of an app, or of a preview; undefined where it would be longer than a label can be. */
export function appLabel(organisation: string, { app, revision }: AppAddress): string | undefined {
  const name = revision === undefined ? app : `${app}-${revision}`;
  const label = organisation === OWN_ORGANISATION ? name : `${name}--${organisation}`;
  return label.length <= MAX_LABEL_CHARS ? label : undefined;
}

/** @param label from anybody */
export function readAppLabel(label: string): AppPlace | undefined {
  const at = label.indexOf("--");
  const name = at === -1 ? label : label.slice(0, at);
  const organisation = at === -1 ? OWN_ORGANISATION : label.slice(at + 2);
  // One name for one place.
  if (at !== -1 && organisation === OWN_ORGANISATION) return undefined;
  const addresses: AppAddress[] = [];
  if (APP_SLUG.test(name)) addresses.push({ app: name });
  const dash = name.lastIndexOf("-");
  const [app, revision] = [name.slice(0, dash), name.slice(dash + 1)];
  if (dash > 0 && APP_SLUG.test(app) && REVISION_ID.test(revision)) addresses.push({ app, revision });
  return addresses.length === 0 ? undefined : { organisation, addresses };
}

function troubleOf(error: unknown): DialError["trouble"] | undefined {
  if (error instanceof ApiError) return error.status === 429 || error.status === 503 ? "busy" : undefined;
  return error instanceof SbxError ? TROUBLES[error.code] : undefined;
}
