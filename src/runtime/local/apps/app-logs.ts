/** What programs of an app said: the logs of its instances, also of those that ended within the last day. */
import { MAX_APP_LOG_LINES, type AppLogLine, type AppLogOptions } from "../../apps.ts";
import { REVISION_LABEL, type AppRuntime } from "./instances.ts";

/** @param revisions of the app */
export async function readAppLogs(
  runtime: Pick<AppRuntime, "list" | "logs">,
  revisions: readonly string[],
  { since = 0, until = Number.POSITIVE_INFINITY, revision: wanted, signal }: AppLogOptions,
): Promise<AppLogLine[]> {
  const known = new Set(wanted === undefined ? revisions : revisions.filter((id) => id === wanted));
  const lines: AppLogLine[] = [];
  for (const { id, labels } of await runtime.list()) {
    const revision = labels[REVISION_LABEL];
    if (revision === undefined || !known.has(revision)) continue;
    const options = { sources: ["process"] as const, since, ...(signal === undefined ? {} : { signal }) };
    let count = 0;
    for await (const { time, text, process } of runtime.logs(id, options)) {
      // What sbx says of the process is not the program's.
      if (time === null || process?.stream === "event") continue;
      if (time > until || count >= MAX_APP_LOG_LINES) break;
      count++;
      lines.push({ time, level: process?.stream === "stderr" ? "error" : "info", message: text, revision });
    }
  }
  return lines.sort((a, b) => a.time - b.time).slice(0, MAX_APP_LOG_LINES);
}
