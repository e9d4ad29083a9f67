/** Counts what a sandbox has used by what its supervisor wrote down last: while it runs, and when it was killed. */
import { MeterStore } from "../../../store/metering/meter-store.ts";
import { readMeterFile } from "../../../store/metering/meter-file.ts";
import { openUsageDatabase, usageDatabasePath } from "../../../store/metering/usage-database.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";

export function countSandbox(meters: MeterStore, { id, name, spec, directory }: SandboxRow): void {
  const sample = readMeterFile(directory);
  if (sample !== undefined) meters.settle({ ...{ id, name, labels: spec.labels, app: spec.app ?? null }, ...sample });
}

/** For one whose supervisor is gone. Never throws: what is left of it has to go, counted or not. */
export function countLost(databasePath: string, row: SandboxRow): void {
  try {
    using usage = openUsageDatabase(usageDatabasePath(databasePath));
    countSandbox(new MeterStore(usage), row);
  } catch {
    // A full disk, or a newer sbx.
  }
}
