/** Names a process so that a later one with the same number is not taken for it: its pid and its start time. */
import { readFileSync } from "node:fs";
import { statFields } from "./stat-fields.ts";

export interface ProcessIdentity {
  pid: number;
  /** Clock ticks from boot to the start, field 22 of /proc/PID/stat (proc(5)). */
  startTicks: string;
}

/** Who runs under this pid now; `null` when nobody does. A process that is dead but not yet waited for is nobody. */
export function identifyProcess(pid: number): ProcessIdentity | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return null; // No such process, or it ended while it was read.
  }
  const fields = statFields(stat);
  const [state, startTicks] = [fields[0], fields[19]];
  return state === "Z" || state === "X" || startTicks === undefined ? null : { pid, startTicks };
}

/** This process. */
export function ownIdentity(): ProcessIdentity {
  return identifyProcess(process.pid) ?? { pid: process.pid, startTicks: "0" };
}

/** Whether that very process is still there. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startTicks === identity.startTicks;
}
