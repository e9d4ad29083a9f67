/**
 * Meters one sandbox: counters into a file of its directory every few seconds, into the database of usage every minute
 * and at the end. Ends it when it has used up its budget.
 */
import { setInterval } from "node:timers";
import { HOUR_MS, type SandboxCounters } from "../../metering/amounts.ts";
import { findExcess, type Budget } from "../../metering/budget.ts";
import { MeterFile } from "../../store/metering/meter-file.ts";
import type { SandboxSample } from "../../store/metering/meter-store.ts";
import { MachineTime } from "./machine-time.ts";

/** What a supervisor that is killed has not counted is no more than this, `ms`. */
const SAMPLE_MS = 2_000;
/** A budget is looked at more often: two processors use half a second in this, `ms`. */
const BUDGET_SAMPLE_MS = 250;
/** Into the database, `ms`. */
const SETTLE_MS = 60_000;

export interface SandboxMeterOptions {
  subject: Omit<SandboxSample, "at" | "counters">;
  directory: string;
  /** The machine's outermost process. */
  vmPid: number;
  memoryBytes: number;
  budget: Budget;
  /** Of its network, since it started. */
  traffic: () => { sentBytes: number; receivedBytes: number };
  /** Writes into the database. Does not throw. */
  settle: (sample: SandboxSample) => void;
  /** Called once, with what is used up. */
  onExcess: (detail: string) => void;
}

export class SandboxMeter {
  readonly #options: SandboxMeterOptions;
  readonly #time: MachineTime;
  readonly #file: MeterFile;
  readonly #startedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #settledAt = performance.now();
  #isOver = false;

  constructor(options: SandboxMeterOptions) {
    this.#options = options;
    this.#time = new MachineTime(options.vmPid);
    this.#file = new MeterFile(options.directory);
  }

  start(): void {
    const { budget } = this.#options;
    const look = (): void => this.#look();
    this.#timer = setInterval(look, budget.length === 0 ? SAMPLE_MS : BUDGET_SAMPLE_MS);
    look();
  }

  /** While its machine is still there: the last moment at which its time can be read. */
  sample(): SandboxCounters {
    const hours = (performance.now() - this.#startedAt) / HOUR_MS;
    const counters = {
      cpuMs: this.#time.read(),
      memoryByteHours: this.#options.memoryBytes * hours,
      ...this.#options.traffic(),
    };
    if (!this.#isOver) this.#file.write(Date.now(), counters);
    return counters;
  }

  /** Counts all of it. Its machine is gone by now, and its connections are closed. */
  end(): void {
    if (this.#isOver) return;
    clearInterval(this.#timer);
    this.#settle(this.sample());
    this.#isOver = true;
    this.#file[Symbol.dispose]();
  }

  #look(): void {
    this.#time.look();
    const counters = this.sample();
    const { budget, onExcess } = this.#options;
    const excess = findExcess(budget, counters);
    if (excess !== null) {
      clearInterval(this.#timer);
      onExcess(excess);
    }
    if (performance.now() - this.#settledAt >= SETTLE_MS) this.#settle(counters);
  }

  #settle(counters: SandboxCounters): void {
    this.#settledAt = performance.now();
    this.#options.settle({ ...this.#options.subject, at: Date.now(), counters });
  }
}
