/** An organisation as the server has it: its runtime, its quotas, and what is being made for it. */
import type { Budget } from "../../metering/budget.ts";
import type { SandboxInfo } from "../../runtime/types.ts";
import type { OrganisationRuntime } from "../../runtime/organisations.ts";
import { ApiError } from "../api-error.ts";
import type { Quotas } from "../config.ts";
import { CreationRate } from "./creation-rate.ts";
import { Endings } from "./endings.ts";
import { MonthlyBudget } from "./monthly-budget.ts";
import { Mutex } from "./mutex.ts";

/** What a sandbox takes of its organisation's quotas. */
export interface Demand {
  memoryBytes: number;
  cpus: number;
}

/** Answers in lines that an organisation has at one time: each keeps its place in files and tables. */
const MAX_STREAMS = 200;

export class Tenant {
  readonly organisation: string;
  readonly runtime: OrganisationRuntime;
  readonly quotas: Quotas;
  readonly endings = new Endings();
  readonly month: MonthlyBudget;
  readonly #pending = new Map<symbol, { demands: readonly Demand[]; settled: Promise<void> }>();
  readonly #admitting = new Mutex();
  readonly #volumes = new Mutex();
  readonly #checkpoints = new Mutex();
  #streams = 0;
  readonly #apps = new Mutex();
  readonly #rate: CreationRate;

  constructor(organisation: string, runtime: OrganisationRuntime, quotas: Quotas) {
    this.organisation = organisation;
    this.runtime = runtime;
    this.quotas = quotas;
    this.month = new MonthlyBudget(runtime, quotas, Date.now);
    this.#rate = new CreationRate(quotas.creationsPerMinute, () => performance.now());
  }

  /**
   * Makes room for one sandbox, or for all of several, while `make` runs. Afterwards they are in the runtime's list, or
   * nowhere.
   *
   * @param isAsked whether it counts for the rate: what somebody's request has been counted for does not again
   * @param make is given what each of them may use: all that is left of the month
   * @throws ApiError `RATE_LIMITED`, `TOO_MANY_SANDBOXES`, `QUOTA_EXCEEDED`, and what `make` throws
   */
  async admit<T>(demand: Demand | readonly Demand[], make: (budget: Budget) => Promise<T>, isAsked = true): Promise<T> {
    const demands = Array.isArray(demand) ? (demand as readonly Demand[]) : [demand as Demand];
    const budget = await this.month.remaining();
    const waitMs = isAsked ? this.#rate.take(demands.length) : undefined;
    if (waitMs !== undefined) {
      throw new ApiError("RATE_LIMITED", `at most ${this.quotas.creationsPerMinute} sandboxes a minute are made`, {
        retryAfterSeconds: Math.ceil(waitMs / 1000),
      });
    }
    const key = Symbol("creation");
    const { promise: settled, resolve } = Promise.withResolvers<void>();
    await this.#admitting.run(async () => {
      await this.#requireRoom(demands);
      this.#pending.set(key, { demands, settled });
    });
    try {
      return await make(budget);
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

  /** Takes a place until it is disposed of. @throws ApiError `QUOTA_EXCEEDED` */
  openStream(): Disposable {
    if (this.#streams >= MAX_STREAMS) {
      throw new ApiError("QUOTA_EXCEEDED", `at most ${MAX_STREAMS} answers in lines are open at one time`);
    }
    this.#streams++;
    let isOpen = true;
    return {
      [Symbol.dispose]: () => {
        if (isOpen) this.#streams--;
        isOpen = false;
      },
    };
  }

  /** Runs `make` if one more checkpoint may be kept. @throws ApiError `QUOTA_EXCEEDED` */
  async admitCheckpoint<T>(make: () => Promise<T>): Promise<T> {
    return this.#checkpoints.run(async () => {
      const { checkpoints } = this.quotas;
      if ((await this.runtime.checkpoints.list()).length >= checkpoints) {
        throw new ApiError("QUOTA_EXCEEDED", `at most ${checkpoints} checkpoints are kept`);
      }
      return make();
    });
  }

  /** Runs `make` if one more app, or layer, may be kept. @throws ApiError `QUOTA_EXCEEDED` */
  async admitApp<T>(what: "apps" | "layers", make: () => Promise<T>): Promise<T> {
    return this.#apps.run(async () => {
      const { apps } = this.runtime;
      const { length } = what === "apps" ? await apps.list() : await apps.layers.list();
      if (length >= this.quotas[what])
        throw new ApiError("QUOTA_EXCEEDED", `there are ${this.quotas[what]} ${what} at most`);
      return make();
    });
  }

  /**
   * A sandbox that has just started is counted twice for a moment, in the list and as being made: whoever would be
   * refused while something is being made looks again when that is over.
   */
  async #requireRoom(demands: readonly Demand[]): Promise<void> {
    for (;;) {
      const fault = this.#findFault(demands, (await this.runtime.list()).filter(isUsing));
      if (fault === undefined) return;
      const [pending] = this.#pending.values();
      if (pending === undefined) throw fault;
      await pending.settled;
    }
  }

  #findFault(demands: readonly Demand[], live: readonly SandboxInfo[]): ApiError | undefined {
    const { sandboxes, memory, cpus } = this.quotas;
    const total: Demand[] = [...live, ...[...this.#pending.values()].flatMap((pending) => pending.demands), ...demands];
    if (total.length > sandboxes) {
      return new ApiError("TOO_MANY_SANDBOXES", `at most ${sandboxes} sandboxes run at one time`);
    }
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
