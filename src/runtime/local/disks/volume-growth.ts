/** Making a volume larger. What is to be reached is recorded first, and completed by whoever finds it (settle.ts). */
import { truncate } from "node:fs/promises";
import type { VolumeRow } from "../../../store/disks/volume-store.ts";
import { runCommand } from "../../../vm/image/command.ts";
import { SbxError } from "../../errors.ts";
import { releaseOwnClaim, type DiskState } from "./disk-context.ts";
import { isUndecided, resizeDisk } from "./supervisor-disks.ts";
import { diskBytesFor } from "./volume-file-system.ts";
import { writerOf } from "./volume-switch.ts";

/**
 * Grows a volume; in a running sandbox the file system with it, otherwise that grows when it is next mounted. The caller
 * holds the volume's lock and has settled it.
 *
 * @throws SbxError `volume_in_use` while it is being read
 */
export async function growVolume(state: DiskState, volume: VolumeRow, capacityBytes: number): Promise<void> {
  const { disks } = state;
  disks.change(() => disks.volumes.beginGrowth(volume.id, capacityBytes));
  try {
    await settleGrowth(state, { ...volume, growTo: capacityBytes });
  } catch (error) {
    // Who reads it has to be asked to let go first: nothing has happened.
    if (error instanceof SbxError && error.code === "volume_in_use") {
      disks.change(() => disks.volumes.beginGrowth(volume.id, null));
    }
    throw error;
  }
}

export async function settleGrowth(state: DiskState, volume: VolumeRow, timeoutMs?: number): Promise<void> {
  const { disks, store } = state;
  const { growTo } = volume;
  if (growTo === null) return;
  const writer = writerOf(disks, volume.id);
  const sandbox = writer === null ? undefined : store.get(writer.holder);
  if (writer !== null && sandbox !== undefined) {
    if (writer.path === "/") throw rootInUse(volume, writer.holderName);
    await growInUse(state, { ...volume, growTo }, sandbox.socket, timeoutMs);
    return;
  }
  const holder = disks.change(() => disks.claims.claimForProcess(volume, "read-write", "volume resize"));
  try {
    await growFile(state, volume, diskBytesFor(growTo));
    endGrowth(state, volume, growTo);
  } catch (error) {
    // Such as a size that the host's file system has no files of: repeated by each command, it would fail in each.
    await endFailedGrowth(state, { ...volume, growTo }, { mayHappenYet: false });
    throw error;
  } finally {
    releaseOwnClaim(state, volume.id, holder);
  }
}

async function growInUse(
  state: DiskState,
  volume: VolumeRow & { growTo: number },
  socketPath: string,
  timeoutMs: number | undefined,
): Promise<void> {
  const sizeBytes = diskBytesFor(volume.growTo);
  try {
    await resizeDisk({ socketPath }, volume.id, { capacityBytes: sizeBytes }, timeoutMs);
  } catch (error) {
    await endFailedGrowth(state, volume, { mayHappenYet: isUndecided(error) });
    throw error;
  }
  endGrowth(state, volume, volume.growTo);
}

/**
 * The disk may have grown although its file system has not: then that follows when it is next mounted. Where it has not
 * and will not, nothing is promised any more, and the volume can be used as it is.
 */
async function endFailedGrowth(
  state: DiskState,
  volume: VolumeRow & { growTo: number },
  { mayHappenYet }: { mayHappenYet: boolean },
): Promise<void> {
  const { disks, layerFiles } = state;
  const head = disks.layers.get(volume.head);
  const sizeBytes = diskBytesFor(volume.growTo);
  const hasGrown = head !== undefined && (await layerFiles.fault({ ...head, sizeBytes })) === null;
  if (hasGrown) endGrowth(state, volume, volume.growTo);
  else if (!mayHappenYet) disks.change(() => disks.volumes.beginGrowth(volume.id, null));
}

/** Its file system is the guest's root, which grows when the guest boots. */
function rootInUse({ slug }: VolumeRow, holder: string): SbxError {
  return new SbxError("volume_in_use", `sandbox ${holder} runs from volume ${slug}`, { hint: `sbx kill ${holder}` });
}

function endGrowth({ disks }: DiskState, volume: VolumeRow, growTo: number): void {
  disks.change(() => {
    disks.volumes.endGrowth(volume.id);
    disks.layers.resize(volume.head, diskBytesFor(growTo));
  });
}

async function growFile({ disks, layerFiles }: DiskState, volume: VolumeRow, sizeBytes: number): Promise<void> {
  const head = disks.layers.get(volume.head);
  if (head === undefined) throw new SbxError("volume_broken", `the head of volume ${volume.slug} is not recorded`);
  const file = layerFiles.pathOf(head);
  if (head.format === "raw") await truncate(file, sizeBytes);
  // The chain is left out: what lies below does not change, and is found by other names than the file's.
  else await runCommand(["qemu-img", "resize", "-q", "--image-opts", withoutBacking(file), String(sizeBytes)]);
}

function withoutBacking(file: string): string {
  return `driver=qcow2,file.driver=file,file.filename=${file.replaceAll(",", ",,")},backing=`;
}
