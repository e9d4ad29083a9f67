/** What the work on disks needs of the local runtime. */
import type { DatabaseSync } from "node:sqlite";
import type { DiskStore } from "../../../store/disks/disk-store.ts";
import { translateDatabaseError } from "../../../store/database.ts";
import { acquireLock, type HeldLock } from "../../../store/locks.ts";
import type { SandboxStore } from "../../../store/sandbox-store.ts";
import type { StagingStore } from "../../../store/staging-store.ts";
import type { LocalImages } from "../images.ts";
import type { StatePaths } from "../paths.ts";
import type { LayerFiles } from "./layer-files.ts";

/** The part of the local state that disks are about. */
export interface DiskState {
  readonly paths: StatePaths;
  readonly database: DatabaseSync;
  readonly store: SandboxStore;
  readonly staging: StagingStore;
  readonly disks: DiskStore;
  readonly layerFiles: LayerFiles;
}

export interface DiskContext {
  state: DiskState;
  images: LocalImages;
}

/**
 * One step at a time on a volume, or on the root disk of a sandbox.
 *
 * @throws SbxError `disk_full`, `state_broken`
 */
export async function lockDisk(
  { database }: Pick<DiskState, "database">,
  id: string,
  signal?: AbortSignal,
): Promise<AsyncDisposable> {
  let lock: HeldLock;
  try {
    lock = await acquireLock(database, diskLockName(id), signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw translateDatabaseError(error, database.location() ?? "in memory");
  }
  return {
    async [Symbol.asyncDispose]() {
      try {
        await lock[Symbol.asyncDispose]();
      } catch {
        // On a full disk it cannot be given back: it ends with this process.
      }
    },
  };
}

/** Gives up a claim of this process. One that cannot be given up, on a full disk, ends with the process. */
export function releaseOwnClaim({ disks }: Pick<DiskState, "disks">, volumeId: string, holder: string): void {
  try {
    disks.claims.releaseVolume(volumeId, holder);
  } catch {
    // As above.
  }
}

export function diskLockName(id: string): string {
  return `disk-${id}`;
}
