/** What a machine's processes use of the host, from /proc. Nothing is started for it. */
import { readFile } from "node:fs/promises";
import { processTree } from "../../host/process-tree.ts";
import { statFields } from "../../host/stat-fields.ts";

/** USER_HZ, the unit of times in /proc/PID/stat: 100 on every architecture of sbx. */
export const TICK_MS = 10;
const PAGE_BYTES = 4096;
/** What was started since is found after this at the latest: the host of hooks, say, `ms`. */
const LOOK_AGAIN_MS = 10_000;

export interface HostUsage {
  /** Processor time since they started, `ms`. */
  cpuMs: number;
  memoryBytes: number;
}

export class HostProcesses {
  readonly #leader: number;
  readonly #lookAgainMs: number;
  /** Who there was the last time; their number seldom changes after a machine's first moments. */
  #tree: number[] = [];
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** @param leader the machine's outermost process */
  constructor(leader: number, lookAgainMs = LOOK_AGAIN_MS) {
    this.#leader = leader;
    this.#lookAgainMs = lookAgainMs;
  }

  /** This process, the machine's, and their descendants. */
  async measure(): Promise<HostUsage> {
    const isOld = performance.now() - this.#lookedAt >= this.#lookAgainMs;
    const known = isOld ? [] : await Promise.all(this.#tree.map(async (pid) => measureProcess(pid)));
    if (isOld || known.includes(null)) {
      this.#lookedAt = performance.now();
      this.#tree = processTree([process.pid, this.#leader]);
      known.splice(0, Infinity, ...(await Promise.all(this.#tree.map(async (pid) => measureProcess(pid)))));
    }
    const found = known.filter((usage) => usage !== null);
    return {
      cpuMs: found.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
      memoryBytes: found.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
    };
  }
}

async function measureProcess(pid: number): Promise<HostUsage | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const fields = statFields(stat);
    const [user, system, resident] = [11, 12, 21].map((index) => Number(fields[index] ?? 0)) as [
      number,
      number,
      number,
    ];
    return { cpuMs: (user + system) * TICK_MS, memoryBytes: (await proportional(pid)) ?? resident * PAGE_BYTES };
  } catch {
    return null; // It has ended.
  }
}

/** A template's memory is mapped by all of its sandboxes. `null` where the kernel does not tell. */
async function proportional(pid: number): Promise<number | null> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  const kilobytes = /^Pss: +(\d+) kB$/m.exec(rollup)?.[1];
  return kilobytes === undefined ? null : Number(kilobytes) * 1024;
}
