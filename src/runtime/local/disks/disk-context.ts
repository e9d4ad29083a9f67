/** What the work on disks needs of the local runtime. */
import type { DatabaseSync } from "node:sqlite";
import type { DiskStore } from "../../../store/disks/disk-store.ts";
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

/** One step at a time on a volume, or on the root disk of a sandbox. */
export async function lockDisk(
  { database }: Pick<DiskState, "database">,
  id: string,
  signal?: AbortSignal,
): Promise<HeldLock> {
  return acquireLock(database, diskLockName(id), signal === undefined ? {} : { signal });
}

export function diskLockName(id: string): string {
  return `disk-${id}`;
}
