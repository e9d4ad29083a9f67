/**
 * What commands that were killed left of disks: completes what was decided, takes back what was not, removes what
 * nothing refers to, and forgets volumes that were removed a day ago. Runs at the start of each command; where there are
 * no disks it costs one query.
 *
 * One disk that cannot be settled (its sandbox does not answer, its disk is full) never keeps a command from another.
 */
import { rmSync } from "node:fs";
import path from "node:path";
import type { SandboxDiskRow } from "../../../store/disks/claim-store.ts";
import type { VolumeRow } from "../../../store/disks/volume-store.ts";
import { tryLock } from "../../../store/locks.ts";
import { SbxError } from "../../errors.ts";
import { diskLockName, type DiskState } from "./disk-context.ts";
import { collectGarbage, type RemovedLayer } from "./garbage.ts";
import { settleRootSwitch } from "./root-switch.ts";
import { settleGrowth } from "./volume-growth.ts";
import { settleSwitch } from "./volume-switch.ts";

/** How long a removed volume can be brought back, `ms`. */
export const RESTORABLE_MS = 24 * 60 * 60 * 1000;

/** For the answer of a supervisor at the start of a command that is about something else, `ms`. */
const PATIENCE_MS = 3_000;

/** Returns the layers that were removed. */
export async function settleDisks(state: DiskState, now: number): Promise<RemovedLayer[]> {
  const { disks } = state;
  if (disks.isEmpty()) return [];
  for (const volume of disks.volumes.unsettled()) await settleVolumeIfFree(state, volume).catch(leaveForTheNext);
  for (const disk of disks.claims.unsettledDisks()) await settleRootIfFree(state, disk).catch(leaveForTheNext);
  try {
    await takeBackAbandoned(state, now);
    return await collectGarbage(state);
  } catch (error) {
    // Whatever the command is for, it may be what makes room.
    if (error instanceof SbxError && error.code === "disk_full") return [];
    throw error;
  }
}

/**
 * Completes what another command began on a volume. The caller holds its lock.
 *
 * @param timeoutMs for a supervisor's answer
 */
export async function settleVolume(state: DiskState, volume: VolumeRow, timeoutMs?: number): Promise<VolumeRow> {
  await settleSwitch(state, volume, timeoutMs);
  const switched = state.disks.volumes.get(volume.id) ?? volume;
  await settleGrowth(state, switched, timeoutMs);
  return state.disks.volumes.get(volume.id) ?? switched;
}

async function settleVolumeIfFree(state: DiskState, volume: VolumeRow): Promise<void> {
  await using lock = tryLock(state.database, diskLockName(volume.id));
  if (lock === null) return;
  const fresh = state.disks.volumes.get(volume.id);
  if (fresh !== undefined) await settleVolume(state, fresh, PATIENCE_MS);
}

async function settleRootIfFree(state: DiskState, disk: SandboxDiskRow): Promise<void> {
  await using lock = tryLock(state.database, diskLockName(disk.sandboxId));
  if (lock === null) return;
  const fresh = state.disks.claims.diskOf(disk.sandboxId);
  const status = state.store.get(disk.sandboxId)?.status;
  if (fresh?.next != null && status === "running") await settleRootSwitch(state, fresh, PATIENCE_MS);
}

/** The next command tries again, and `sbx doctor` tells. */
function leaveForTheNext(): void {}

/** Forgets what nobody will finish. Files first: on a full disk that makes the room to change records in. */
async function takeBackAbandoned({ disks, layerFiles, paths }: DiskState, now: number): Promise<void> {
  const pending = pendingLayers(disks);
  // One of a copy whose maker was killed as it began to run is still claimed: the copy keeps it, or ends.
  const volumes = disks.volumes.abandoned().filter(({ id }) => disks.claims.of(id).length === 0);
  const snapshots = disks.snapshots.abandoned().filter(({ layer }) => !pending.has(layer));
  const layers = disks.layers.abandoned();
  const checkpoints = disks.checkpoints.abandoned();
  const expired = disks.volumes.removedBefore(now - RESTORABLE_MS);
  const rows = [volumes, snapshots, layers, checkpoints, expired];
  if (rows.every(({ length }) => length === 0) && !disks.claims.hasStale()) return;
  for (const layer of layers.filter(({ id }) => !pending.has(id))) await layerFiles.remove(layer);
  for (const { directory } of checkpoints) removeCheckpointDirectory(paths.dataPath, directory);
  disks.change(
    () => {
      disks.claims.dropStale();
      for (const { id } of volumes) disks.volumes.forget(id);
      // Not those that were found above: one may have been restored since.
      for (const { id } of disks.volumes.removedBefore(now - RESTORABLE_MS)) disks.volumes.forget(id);
      for (const { id } of snapshots) disks.snapshots.forget(id);
      for (const { id } of layers) disks.layers.disown(id);
      for (const { id } of checkpoints) disks.checkpoints.forget(id);
    },
    { frees: true },
  );
}

/** Layers whose sealing is decided but not done: what waits for them is not abandoned. */
function pendingLayers(disks: DiskState["disks"]): Set<string> {
  const next = [
    ...disks.volumes.unsettled().map((volume) => volume.next),
    ...disks.claims.listDisks().map((disk) => disk.next),
  ];
  return new Set(next.flatMap((id) => (id === null ? [] : (disks.layers.get(id)?.parent ?? []))));
}

/** Only of the place where checkpoints are made: a record is data, too. */
function removeCheckpointDirectory(dataPath: string, directory: string): void {
  if (path.dirname(directory) !== path.join(dataPath, "checkpoints")) return;
  rmSync(directory, { recursive: true, force: true });
}
