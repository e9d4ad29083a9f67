/** Names a process so that a later one with the same number is not taken for it: its pid and its start time. */
import { readFile } from "node:fs/promises";

export interface ProcessIdentity {
  pid: number;
  /** Clock ticks from boot to the start, field 22 of /proc/PID/stat (proc(5)). */
  startTicks: string;
}

/** Who runs under this pid now; `null` when nobody does. A process that is dead but not yet waited for is nobody. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | null> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, "utf8");
  } catch {
    // No such process, or it ended while it was read.
    return null;
  }
  // The second field is the program's name, which may hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTicks] = [fields[0], fields[19]];
  return state === "Z" || startTicks === undefined ? null : { pid, startTicks };
}

/** Whether that very process is still there. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await identifyProcess(identity.pid))?.startTicks === identity.startTicks;
}
