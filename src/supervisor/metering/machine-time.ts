/** Processor time of a machine's processes on this host, from /proc: cheap enough to be asked all the time. */
import { readFileSync } from "node:fs";
import { processTree } from "../../host/process-tree.ts";
import { statFields } from "../../host/stat-fields.ts";
import { TICK_MS } from "../watch/host-processes.ts";

export class MachineTime {
  readonly #leader: number;
  /** The last that is known of each process, `ms`. */
  readonly #used = new Map<number, number>();
  /** What processes have used that have ended, `ms`: others may get their numbers. */
  #ended = 0;

  /** @param leader the machine's outermost process */
  constructor(leader: number) {
    this.#leader = leader;
    this.#used.set(leader, 0);
  }

  /** Finds its processes. */
  look(): void {
    for (const pid of processTree([this.#leader])) this.#used.set(pid, this.#used.get(pid) ?? 0);
  }

  /** `ms` since they started; never less than before. */
  read(): number {
    let running = 0;
    for (const [pid, before] of this.#used) {
      const used = processTime(pid);
      if (used === null) {
        this.#ended += before;
        this.#used.delete(pid);
      } else {
        this.#used.set(pid, Math.max(before, used));
        running += Math.max(before, used);
      }
    }
    return this.#ended + running;
  }
}

/** Null for one that has ended. */
function processTime(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = statFields(stat);
    return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_MS;
  } catch {
    return null;
  }
}
