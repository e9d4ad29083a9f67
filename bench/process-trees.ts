/** What the processes of one sandbox take: its supervisor and all below it (the jail's tools, QEMU). */
import { readdirSync, readFileSync } from "node:fs";

/** Kernel clock ticks of /proc times, per second (USER_HZ, the same on all of Linux's architectures). */
const TICKS_PER_SECOND = 100;

/** A process and its descendants. Those that end meanwhile are left out. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = Number(statFields(Number(name))?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** Proportional set size of all of them: private memory, and each one's share of what is shared. `bytes` */
export function pssBytes(pids: readonly number[]): number {
  return pids.map((pid) => memoryOf(pid, "Pss")).reduce((sum, bytes) => sum + bytes, 0);
}

/** Resident set size of all of them, which counts what is shared in each. `bytes` */
export function rssBytes(pids: readonly number[]): number {
  return pids.map((pid) => memoryOf(pid, "Rss")).reduce((sum, bytes) => sum + bytes, 0);
}

/** Processor time of all of them so far, `ms`. */
export function cpuMs(pids: readonly number[]): number {
  // utime and stime are fields 14 and 15 of proc_pid_stat(5); the first here is field 3.
  const ticks = pids.map((pid) => {
    const fields = statFields(pid);
    return Number(fields?.[11] ?? 0) + Number(fields?.[12] ?? 0);
  });
  return (ticks.reduce((sum, each) => sum + each, 0) * 1000) / TICKS_PER_SECOND;
}

function memoryOf(pid: number, kind: "Pss" | "Rss"): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(new RegExp(`^${kind}:\\s+(\\d+) kB$`, "m").exec(rollup)?.[1] ?? 0) * 1024;
  } catch {
    return 0; // It has ended.
  }
}

/** The fields of /proc/PID/stat after the command's name, which may hold anything. */
function statFields(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined; // It has ended.
  }
}
