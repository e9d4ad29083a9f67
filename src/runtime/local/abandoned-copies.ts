/** What a copy out of a sandbox leaves at its destination when it is killed: recorded before, removed by the next command. */
import path from "node:path";
import type { StagingStore } from "../../store/staging-store.ts";

/**
 * Records the directory of a copy's incomplete files. The record goes when the copy ends.
 *
 * A copy does not fail for want of a record: without it, the next copy to the same place removes what a killed one left.
 */
export function recordStaging(store: StagingStore, stagingPath: string): Disposable {
  const absolutePath = path.resolve(stagingPath);
  try {
    store.add(absolutePath);
  } catch {
    // The state's disk is full; the destination's need not be, and the user may be copying to save something.
  }
  return {
    [Symbol.dispose]() {
      try {
        store.forget(absolutePath);
      } catch {
        // As above. The directory is gone, and the next command drops the record.
      }
    },
  };
}

/**
 * Removes what copies of processes that are gone have left. Each record is tried once: what `removeStaging` refuses is
 * not certainly ours, and is none of our business then.
 */
export async function removeAbandonedCopies(store: StagingStore): Promise<void> {
  const abandoned = store.listAbandoned();
  if (abandoned.length === 0) return;
  const { removeStaging } = await import("../copy/staging.ts");
  for (const stagingPath of abandoned) {
    removeStaging(stagingPath);
    store.forget(stagingPath);
  }
}
