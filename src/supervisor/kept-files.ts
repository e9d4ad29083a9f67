/** What stays of a sandbox's directory after an orderly end: what its network was used for, and what ran in it unseen. */
import { readdir, rm } from "node:fs/promises";
import path from "node:path";
import { AUDIT_LOG_NAME, PREVIOUS_AUDIT_LOG_NAME } from "../protocol/audit-event.ts";
import { PREVIOUS_PROCESS_LOG_NAME, PROCESS_LOG_NAME } from "../protocol/line-records.ts";

export const KEPT_LOGS = [
  AUDIT_LOG_NAME,
  PREVIOUS_AUDIT_LOG_NAME,
  PROCESS_LOG_NAME,
  PREVIOUS_PROCESS_LOG_NAME,
] as const;

/** Removes all of a directory but the files named, and the directory itself if there is none of them. */
export async function keepOnly(directory: string, names: readonly string[]): Promise<void> {
  const entries = await readdir(directory).catch(() => []);
  if (!entries.some((name) => names.includes(name))) {
    await rm(directory, { recursive: true, force: true });
    return;
  }
  const doomed = entries.filter((name) => !names.includes(name));
  await Promise.all(doomed.map((name) => rm(path.join(directory, name), { recursive: true, force: true })));
}
