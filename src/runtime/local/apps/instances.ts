/**
 * Instances: sandboxes in which revisions run. One starts when somebody wants it, and lives for some minutes beyond the
 * last use; so an app that nobody uses costs nothing. All processes of a user see the same instances: a lock of the
 * database lets one of them start it, and its labels tell the others.
 */
import { DEFAULT_INSTANCE_SETTINGS } from "../../../protocol/app-values.ts";
import type { AppConnection, InstanceSettings } from "../../apps.ts";
import { SbxError } from "../../errors.ts";
import { InstanceDoor } from "./instance-door.ts";
import { InstancePool, type InstanceLimits } from "./instance-pool.ts";
import { InstanceStarter, type InstancePlan, type InstanceStarterOptions } from "./instance-start.ts";
import type { InstanceName } from "./warm-instances.ts";

export { CONTEXT_LABEL, REVISION_LABEL, type AppRuntime, type InstancePlan } from "./instance-start.ts";
export type { InstanceName } from "./warm-instances.ts";

export const INSTANCE_LIMITS: InstanceLimits = {
  connections: DEFAULT_INSTANCE_SETTINGS.concurrency,
  instances: DEFAULT_INSTANCE_SETTINGS.instances,
  idleMs: DEFAULT_INSTANCE_SETTINGS.idleMs,
  waitMs: 5000,
  restMs: 1000,
  drainMs: 30_000,
};

export interface InstancesOptions extends Omit<InstanceStarterOptions, "idleMs"> {
  limits?: Partial<InstanceLimits> | undefined;
}

export interface InstanceWish {
  plan: () => Promise<InstancePlan>;
  /** What is said of them now; the rest is the default. */
  settings: Partial<InstanceSettings>;
}

export class Instances implements AsyncDisposable {
  readonly #options: InstancesOptions;
  readonly #limits: InstanceLimits;
  readonly #starter: InstanceStarter;
  readonly #door: InstanceDoor;
  readonly #pools = new Map<string, InstancePool>();

  constructor(options: InstancesOptions) {
    this.#options = options;
    this.#limits = { ...INSTANCE_LIMITS, ...options.limits };
    this.#starter = new InstanceStarter({ ...options, idleMs: this.#limits.idleMs });
    this.#door = new InstanceDoor(options.runtime.domains);
  }

  /** Has it run, and returns once it answers requests. @throws SbxError with what it said, if it does not */
  async ensure(plan: InstancePlan, signal?: AbortSignal): Promise<void> {
    await this.#poolOf(plan).ensure(plan, signal);
  }

  /** A connection to its server; it is started if it does not run. @param wish.plan asked for when it has to be */
  async open(name: InstanceName, { plan, settings }: InstanceWish, signal?: AbortSignal): Promise<AppConnection> {
    const pool = this.#poolOf(name);
    pool.configure(settings);
    return pool.open(plan, signal);
  }

  /** Ends what runs of it here when its connections have come to their end, unless somebody asks for it again. */
  async retire(name: InstanceName): Promise<void> {
    const pool = this.#pools.get(keyOf(name));
    if (pool === undefined) return;
    await pool.drain();
    if (pool.isWanted) return;
    // Whoever asks from now on gets another one.
    this.#forget(name, pool);
    await pool.end(new SbxError("aborted", "the revision is not active any more"));
  }

  /** Ends what runs of a revision, and forgets what is kept of it. */
  async release(revision: string): Promise<void> {
    for (const context of ["production", "development"] as const) {
      const pool = this.#pools.get(keyOf({ revision, context }));
      if (pool === undefined) continue;
      this.#forget({ revision, context }, pool);
      await pool.end(new SbxError("aborted", "the revision is gone"));
    }
    await this.#starter.release(revision);
  }

  /** Lets go of the instances; they live on for as long as they were given. */
  async [Symbol.asyncDispose](): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map(async (pool) => pool[Symbol.asyncDispose]()));
  }

  #poolOf({ revision, context }: InstanceName): InstancePool {
    const name = { revision, context };
    const known = this.#pools.get(keyOf(name));
    if (known !== undefined) return known;
    const { runtime } = this.#options;
    const pool = new InstancePool({
      ...{ name, starter: this.#starter, door: this.#door, limits: this.#limits },
      extend: async (id, ms) => runtime.extend(id, ms),
    });
    this.#pools.set(keyOf(name), pool);
    return pool;
  }

  #forget(name: InstanceName, pool: InstancePool): void {
    if (this.#pools.get(keyOf(name)) === pool) this.#pools.delete(keyOf(name));
  }
}

function keyOf({ revision, context }: InstanceName): string {
  return `${revision} ${context}`;
}
