/** Processor time of a machine's processes on this host, from /proc: cheap enough to be asked all the time. */
import { readFileSync } from "node:fs";
import { descendants, TICK_MS } from "../watch/host-processes.ts";

/** Who belongs to it seldom changes after its first moments, `ms`. */
const LOOK_AGAIN_MS = 60_000;

export class MachineTime {
  readonly #leader: number;
  /** The last that is known of each process: what has ended has used it all the same. */
  readonly #used = new Map<number, number>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** @param leader the machine's outermost process */
  constructor(leader: number) {
    this.#leader = leader;
    this.#used.set(leader, 0);
  }

  /** Finds its processes. */
  async look(): Promise<void> {
    if (performance.now() - this.#lookedAt < LOOK_AGAIN_MS) return;
    this.#lookedAt = performance.now();
    for (const pid of await descendants([this.#leader])) this.#used.set(pid, this.#used.get(pid) ?? 0);
  }

  /** `ms` since they started; never less than before. */
  read(): number {
    let sum = 0;
    for (const [pid, before] of this.#used) {
      const used = Math.max(before, processTime(pid));
      this.#used.set(pid, used);
      sum += used;
    }
    return sum;
  }
}

/** 0 for one that has ended. */
function processTime(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the program's name, which may hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_MS;
  } catch {
    return 0;
  }
}
