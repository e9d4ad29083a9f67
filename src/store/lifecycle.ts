/** The life of a sandbox as a table: which status may follow which. Anything else is a bug and is refused. */
import type { SandboxStatus } from "../runtime/types.ts";

const TRANSITIONS: Record<SandboxStatus, readonly SandboxStatus[]> = {
  creating: ["running", "stopping", "stopped", "failed"],
  running: ["stopping", "stopped"],
  stopping: ["stopped"],
  stopped: [],
  failed: [],
};

export function isLive(status: SandboxStatus): boolean {
  return TRANSITIONS[status].length > 0;
}

/** Statuses from which `to` may be reached. */
export function sourcesOf(to: SandboxStatus): SandboxStatus[] {
  return (Object.keys(TRANSITIONS) as SandboxStatus[]).filter((from) => TRANSITIONS[from].includes(to));
}
