/** What a sandbox costs that does nothing: memory with many alive, and processor time. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Sandbox } from "../../src/runtime/runtime.ts";
import { cpuMs, processTree, pssBytes } from "../process-trees.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { execQuietly, openSandbox, type Bench } from "../workbench.ts";

const SETTLE_MS = 10_000;
const MEMORY_REACH_MB = 100;
const CPU_REACH_PERCENT = 0.5;
/** Sandboxes whose idling is watched at once. */
const WATCHED = 5;

export const memoryRow: Row = {
  id: "memory",
  title: "memory of each further idle sandbox",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using sandboxes = new Alive(bench);
    await sandboxes.add();
    await sleep(SETTLE_MS);
    const [first = 0] = sandboxes.pssMegabytes();
    while (sandboxes.size < bench.counts.alive) await sandboxes.add();
    await sleep(SETTLE_MS);
    const all = sandboxes.pssMegabytes();
    const total = all.reduce((sum, each) => sum + each, 0);
    const further = (total - first) / Math.max(1, all.length - 1);
    bench.log(
      `memory: the first ${first.toFixed(1)} MB alone, all ${total.toFixed(1)} MB, so ${further.toFixed(1)} MB more each`,
    );
    return [
      outcome({
        id: "memory",
        what: `memory (PSS) of an idle sandbox, ${all.length} alive`,
        unit: "MB",
        samples: all,
        beside: { what: "the first one, alone", samples: [first] },
        reach: `≤ ${MEMORY_REACH_MB} MB`,
        // Both what each has and what each added must be within.
        isReached: (median) => Math.max(median, further) <= MEMORY_REACH_MB,
      }),
    ];
  },
};

export const idleRow: Row = {
  id: "idle",
  title: "processor time of an idle sandbox",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using sandboxes = new Alive(bench);
    while (sandboxes.size < Math.min(WATCHED, bench.counts.alive)) await sandboxes.add();
    await sleep(SETTLE_MS);
    const start = performance.now();
    const before = sandboxes.cpuMs();
    await sleep(bench.counts.idleSeconds * 1000);
    const elapsed = performance.now() - start;
    const samples = sandboxes.cpuMs().map((ms, index) => ((ms - (before[index] ?? 0)) / elapsed) * 100);
    return [
      outcome({
        id: "idle",
        what: `processor time of an idle sandbox over ${bench.counts.idleSeconds} s`,
        unit: "% of a core",
        samples,
        reach: `≤ ${CPU_REACH_PERCENT} % of a core`,
        isReached: (median) => median <= CPU_REACH_PERCENT,
      }),
    ];
  },
};

/** Sandboxes that have each run one command, so that none is fresher than a user's would be. */
class Alive implements AsyncDisposable {
  readonly #bench: Bench;
  readonly #sandboxes: { sandbox: Sandbox; supervisorPid: number }[] = [];

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  get size(): number {
    return this.#sandboxes.length;
  }

  async add(): Promise<void> {
    const sandbox = await openSandbox(this.#bench);
    const { supervisorPid } = await this.#bench.runtime.get(sandbox.id);
    if (supervisorPid === null) throw new Error(`sandbox ${sandbox.id} has no supervisor`);
    this.#sandboxes.push({ sandbox, supervisorPid });
    await execQuietly(sandbox, ["true"]);
  }

  pssMegabytes(): number[] {
    return this.#sandboxes.map(({ supervisorPid }) => pssBytes(processTree(supervisorPid)) / 1e6);
  }

  cpuMs(): number[] {
    return this.#sandboxes.map(({ supervisorPid }) => cpuMs(processTree(supervisorPid)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { sandbox } of this.#sandboxes) {
      await sandbox[Symbol.asyncDispose]();
      await this.#bench.runtime.remove(sandbox.id);
    }
  }
}
