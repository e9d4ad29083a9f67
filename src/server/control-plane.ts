/** What all parts of the server share, and what it looks after by itself. */
import type { OrganisationRuntimes } from "../runtime/organisations.ts";
import type { CallerEnvironment } from "../runtime/types.ts";
import type { ServerConfig } from "./config.ts";
import type { Doors } from "./doors.ts";
import type { Timeouts } from "./http/limits.ts";
import { LongBodies } from "./http/long-bodies.ts";
import { Metrics } from "./metrics.ts";
import { Tenants } from "./organisations/tenants.ts";
import { Relays } from "./relay/relays.ts";
import type { ServerLog } from "./server-log.ts";
import type { TokenStore } from "./tokens/token-store.ts";

/** A connection of a revoked or expired token is noticed after this at the latest, `ms`; to close it takes a second more. */
const TOKEN_SWEEP_MS = 1000;

export interface ControlPlaneOptions {
  runtimes: OrganisationRuntimes;
  tokens: TokenStore;
  config: ServerConfig;
  log: ServerLog;
  /** Of the server: its proxies are those of the sandboxes. No secret is looked for in it. */
  environment: NonNullable<CallerEnvironment["environment"]>;
  version: string;
  /** Epoch `ms`. */
  now: () => number;
  /** Others than the usual ones. */
  timeouts?: Partial<Timeouts>;
}

export class ControlPlane implements AsyncDisposable {
  readonly options: ControlPlaneOptions;
  readonly tenants: Tenants;
  readonly metrics = new Metrics();
  readonly relays = new Relays();
  readonly longBodies = new LongBodies();
  /** Filled before the first request is served. */
  readonly doors: Doors = {};
  readonly #gauges = new Map<string, () => number>();
  readonly #draining = new AbortController();
  readonly #sweep: NodeJS.Timeout;
  /** Creations and handshakes that are under way. */
  readonly #working = new Set<Promise<unknown>>();

  constructor(options: ControlPlaneOptions) {
    this.options = options;
    this.tenants = new Tenants(options.runtimes, options.config);
    this.#sweep = setInterval(() => this.#endForgotten(), TOKEN_SWEEP_MS).unref();
  }

  /** Fires when the server is to end. */
  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  /** Waited for before the server ends. */
  track(work: Promise<unknown>): void {
    this.#working.add(work);
    void work.catch(() => undefined).finally(() => this.#working.delete(work));
  }

  /** Adds one to the metrics. */
  addGauge(name: string, read: () => number): void {
    this.#gauges.set(name, read);
  }

  gauges(): Readonly<Record<string, number>> {
    return {
      sbx_connections: this.relays.size,
      sbx_organisations: this.tenants.all().length,
      sbx_resident_memory_bytes: process.memoryUsage.rss(),
      ...Object.fromEntries([...this.#gauges].map(([name, read]) => [name, read()])),
    };
  }

  /**
   * Gives up what is being made, says goodbye to all connections, and lets go of the sandboxes: those with a fixed
   * lifetime go on, and the next server finds them.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweep);
    this.#draining.abort(new Error("the server is going away"));
    await this.relays.closeAll("the server is going away");
    while (this.#working.size > 0) await Promise.allSettled(this.#working);
    await this.options.runtimes[Symbol.asyncDispose]();
  }

  #endForgotten(): void {
    const { tokens, now, log } = this.options;
    try {
      this.relays.closeUnless((tokenId) => tokens.holds(tokenId, now()));
    } catch (error) {
      log.write("error", "tokens.unreadable", { error: error instanceof Error ? error.message : String(error) });
    }
  }
}
