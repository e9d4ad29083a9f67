/** The highest resident set of a process over a time (proc(5)), as root. */
import { readFileSync, writeFileSync } from "node:fs";

export class PeakMemory {
  readonly #pid: number;
  readonly #atFirst: number;

  /** Begins to watch. */
  constructor(pid: number) {
    this.#pid = pid;
    this.#atFirst = readKiB(pid, "VmRSS");
    // Sets the mark back to what it is now.
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
  }

  /** How far it has been above its beginning, `bytes`. */
  get grownBytes(): number {
    return (readKiB(this.#pid, "VmHWM") - this.#atFirst) * 1024;
  }
}

function readKiB(pid: number, field: string): number {
  const value = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (value === undefined) throw new Error(`process ${pid} has no ${field}`);
  return Number(value);
}
