/** An organisation as the server has it: its runtime, its quotas, and what is being made for it. */
import type { SandboxInfo } from "../../runtime/types.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { ApiError } from "../api-error.ts";
import type { Quotas } from "../config.ts";
import { CreationRate } from "./creation-rate.ts";
import { Mutex } from "./mutex.ts";

/** What a sandbox takes of its organisation's quotas. */
export interface Demand {
  memoryBytes: number;
  cpus: number;
}

export class Tenant {
  readonly organisation: string;
  readonly runtime: Runtime;
  readonly quotas: Quotas;
  readonly #pending = new Map<symbol, { demand: Demand; settled: Promise<void> }>();
  readonly #admitting = new Mutex();
  readonly #volumes = new Mutex();
  readonly #rate: CreationRate;

  constructor(organisation: string, runtime: Runtime, quotas: Quotas) {
    this.organisation = organisation;
    this.runtime = runtime;
    this.quotas = quotas;
    this.#rate = new CreationRate(quotas.creationsPerMinute, () => performance.now());
  }

  /**
   * Makes room for one sandbox while `make` runs. Afterwards it is in the runtime's list, or nowhere.
   *
   * @throws ApiError `RATE_LIMITED`, `TOO_MANY_SANDBOXES`, `QUOTA_EXCEEDED`, and what `make` throws
   */
  async admit<T>(demand: Demand, make: () => Promise<T>): Promise<T> {
    const waitMs = this.#rate.take();
    if (waitMs !== undefined) {
      throw new ApiError("RATE_LIMITED", `at most ${this.quotas.creationsPerMinute} sandboxes a minute are made`, {
        retryAfterSeconds: Math.ceil(waitMs / 1000),
      });
    }
    const key = Symbol("creation");
    const { promise: settled, resolve } = Promise.withResolvers<void>();
    await this.#admitting.run(async () => {
      await this.#requireRoom(demand);
      this.#pending.set(key, { demand, settled });
    });
    try {
      return await make();
    } finally {
      this.#pending.delete(key);
      resolve();
    }
  }

  /** Runs `make` if a volume of this capacity fits beside the others. @throws ApiError `QUOTA_EXCEEDED` */
  async admitVolume<T>(capacityBytes: number, make: () => Promise<T>): Promise<T> {
    return this.#volumes.run(async () => {
      const volumes = await this.runtime.volumes.list();
      const taken = volumes.reduce((sum, volume) => sum + volume.capacityBytes, 0);
      if (taken + capacityBytes > this.quotas.volumes) {
        throw new ApiError(
          "QUOTA_EXCEEDED",
          `all volumes together may have ${this.quotas.volumes} bytes; ${taken} are taken, ${capacityBytes} were asked for`,
        );
      }
      return make();
    });
  }

  /**
   * A sandbox that has just started is counted twice for a moment, in the list and as being made: whoever would be
   * refused while something is being made looks again when that is over.
   */
  async #requireRoom(demand: Demand): Promise<void> {
    for (;;) {
      const fault = this.#findFault(demand, (await this.runtime.list()).filter(isUsing));
      if (fault === undefined) return;
      const [pending] = this.#pending.values();
      if (pending === undefined) throw fault;
      await pending.settled;
    }
  }

  #findFault(demand: Demand, live: readonly SandboxInfo[]): ApiError | undefined {
    const { sandboxes, memory, cpus } = this.quotas;
    const all: Demand[] = [...live, ...[...this.#pending.values()].map((pending) => pending.demand)];
    if (all.length >= sandboxes) {
      return new ApiError("TOO_MANY_SANDBOXES", `at most ${sandboxes} sandboxes run at one time`);
    }
    const total = [...all, demand];
    if (total.reduce((sum, one) => sum + one.memoryBytes, 0) > memory) {
      return new ApiError("QUOTA_EXCEEDED", `all sandboxes together have at most ${memory} bytes of memory`);
    }
    if (total.reduce((sum, one) => sum + one.cpus, 0) > cpus) {
      return new ApiError("QUOTA_EXCEEDED", `all sandboxes together have at most ${cpus} processors`);
    }
    return undefined;
  }
}

/** One that is being made is counted by whoever makes it. */
function isUsing({ status }: SandboxInfo): boolean {
  return status === "running" || status === "paused" || status === "stopping";
}
