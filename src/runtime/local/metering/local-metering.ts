/** Usage of this machine's sandboxes and disks. Whoever asks has everything counted first, up to this moment. */
import { HOUR_MS } from "../../../metering/amounts.ts";
import { isLive } from "../../../store/lifecycle.ts";
import { MeterStore, type ReadUsage } from "../../../store/metering/meter-store.ts";
import { storageSizes } from "../../../store/metering/storage-sizes.ts";
import { openUsageDatabase, usageDatabasePath } from "../../../store/metering/usage-database.ts";
import { throwIfAborted } from "../../abort.ts";
import type { MeteredUsage, MeteringApi, MeteringQuery } from "../../metering.ts";
import type { CallOptions } from "../../types.ts";
import type { LocalState } from "../state.ts";
import { countSandbox } from "./count-sandbox.ts";

const BUCKETS = { hour: HOUR_MS, day: 24 * HOUR_MS } as const;

export class LocalMetering implements MeteringApi {
  readonly #state: LocalState;

  constructor(state: LocalState) {
    this.#state = state;
  }

  async read({ since, until, by }: MeteringQuery, { signal }: CallOptions = {}): Promise<MeteredUsage[]> {
    throwIfAborted(signal, "reading what was used");
    const now = Date.now();
    const { store, paths, database } = this.#state;
    using usage = openUsageDatabase(usageDatabasePath(paths.databasePath));
    const meters = new MeterStore(usage);
    for (const row of store.list()) if (isLive(row.status)) countSandbox(meters, row);
    meters.measureStorage(storageSizes(database, paths.layersPath), now);
    meters.forget(now);
    const query: ReadUsage = { since, until: until ?? now, ...(by === undefined ? {} : { bucketMs: BUCKETS[by] }) };
    return meters.read(query);
  }
}

/** Before something of the disks is removed: it is counted to the end. Never throws, since it has to go all the same. */
export function measureDisks({ paths, database }: Pick<LocalState, "paths" | "database">): void {
  try {
    using usage = openUsageDatabase(usageDatabasePath(paths.databasePath));
    new MeterStore(usage).measureStorage(storageSizes(database, paths.layersPath), Date.now());
  } catch {
    // A full disk, or a newer sbx.
  }
}
