/** The life of a sandbox as a table: which status may follow which. Anything else is a bug and is refused. */
import type { SandboxStatus } from "../runtime/types.ts";

/** A paused sandbox is a running one with a mark: in all that matters to others it is alive. */
export type RecordedStatus = Exclude<SandboxStatus, "paused">;

const TRANSITIONS: Record<RecordedStatus, readonly RecordedStatus[]> = {
  creating: ["running", "stopping", "stopped", "failed"],
  running: ["stopping", "stopped"],
  stopping: ["stopped"],
  stopped: [],
  failed: [],
};

export function isLive(status: RecordedStatus): boolean {
  return TRANSITIONS[status].length > 0;
}

/** Statuses from which `to` may be reached. */
export function sourcesOf(to: RecordedStatus): RecordedStatus[] {
  return (Object.keys(TRANSITIONS) as RecordedStatus[]).filter((from) => TRANSITIONS[from].includes(to));
}
