/**
 * Putting an empty layer on top of a volume, so that what was its head never changes again.
 *
 * Of a volume in use, the sandbox's supervisor does it. From the moment it is asked the head to be is recorded in the
 * volume; whoever finds that there (settle.ts) completes it: where the sandbox lives by asking once more, which changes
 * nothing if it was done, and where it is gone by putting the layer on top. If nobody had switched, that layer is empty
 * and on top of the same head; if somebody had, it holds what was written since. Right in both cases.
 */
import type { DiskStore } from "../../../store/disks/disk-store.ts";
import { newLayerId, newSnapshotId } from "../../../store/disks/disk-names.ts";
import type { ClaimRow } from "../../../store/disks/claim-store.ts";
import type { LayerFormat, NewLayer } from "../../../store/disks/layer-store.ts";
import type { SnapshotRow } from "../../../store/disks/snapshot-store.ts";
import type { VolumeRow } from "../../../store/disks/volume-store.ts";
import { SbxError } from "../../errors.ts";
import { refuseLongChain } from "./chain.ts";
import { releaseOwnClaim, type DiskState } from "./disk-context.ts";
import { takeBack } from "./garbage.ts";
import { isUndecided, switchDisk } from "./supervisor-disks.ts";
import { diskBytesFor } from "./volume-file-system.ts";

/**
 * Takes a snapshot of a volume. The caller holds the volume's lock and has settled it.
 *
 * @throws SbxError `name_in_use`, `volume_in_use`, and what the supervisor says; nothing of it is left then
 */
export async function snapshotVolume(state: DiskState, volume: VolumeRow, slug: string): Promise<SnapshotRow> {
  const { disks, layerFiles } = state;
  const hint = `make it one layer again: sbx volume export ${volume.slug} - | sbx volume import - ANOTHER`;
  refuseLongChain(disks, volume.head, `volume ${volume.slug}`, hint);
  const snapshotId = newSnapshotId();
  const next = layerAbove(volume);
  const format = headFormat(disks, volume);
  const use = begin(state, volume, { snapshotId, slug, next });
  try {
    await layerFiles.makeOverlay(next, next.sizeBytes, format);
    if (use.writer === null) await commitSwitch(state, volume, { next: next.id, isClean: true });
    else await switchInUse(state, volume, next, use.writer);
  } catch (error) {
    if (!(error instanceof UndecidedSwitch)) {
      await takeBackSwitch(state, volume, next);
    }
    throw error instanceof UndecidedSwitch ? error.cause : error;
  } finally {
    if (use.holder !== null) releaseOwnClaim(state, volume.id, use.holder);
  }
  return requireSnapshot(disks, snapshotId);
}

/** What was begun stays, for the next command to complete. */
class UndecidedSwitch extends Error {}

interface Begun {
  /** The sandbox that writes to it. */
  writer: ClaimRow | null;
  /** This process's own claim, which keeps others from writing to it. */
  holder: string | null;
}

function begin(
  { disks }: DiskState,
  volume: VolumeRow,
  { snapshotId, slug, next }: { snapshotId: string; slug: string; next: NewLayer },
): Begun {
  return disks.change(() => {
    disks.checkName(slug);
    const writer = writerOf(disks, volume.id);
    // Readers may go on: they read the same before and after.
    const holder = writer === null ? disks.claims.claimForProcess(volume, "read-only", "volume snapshot") : null;
    const now = Date.now();
    disks.layers.begin(next, now);
    disks.snapshots.begin(
      {
        ...{ id: snapshotId, slug, layer: volume.head, sizeBytes: next.sizeBytes, imageId: volume.imageId },
        ...{ source: { kind: "volume", id: volume.id, name: volume.slug }, parentId: volume.base?.id ?? null },
        isClean: true,
      },
      now,
    );
    return { writer, holder };
  });
}

async function switchInUse(state: DiskState, volume: VolumeRow, next: NewLayer, writer: ClaimRow): Promise<void> {
  const { disks } = state;
  disks.change(() => {
    disks.layers.open(next.id);
    disks.volumes.setNext(volume.id, next.id);
  });
  let isClean: boolean;
  try {
    isClean = await askSupervisor(state, volume, next, writer);
  } catch (error) {
    if (isUndecided(error)) throw new UndecidedSwitch("nobody knows yet", { cause: error });
    throw error;
  }
  try {
    await commitSwitch(state, volume, { next: next.id, isClean });
  } catch (error) {
    // The machine writes to the new layer: the next command completes it.
    throw new UndecidedSwitch("it is not recorded yet", { cause: error });
  }
}

async function askSupervisor(
  { store, layerFiles }: DiskState,
  volume: VolumeRow,
  next: Pick<NewLayer, "id" | "format">,
  writer: ClaimRow,
  timeoutMs?: number,
): Promise<boolean> {
  const sandbox = store.get(writer.holder);
  if (sandbox === undefined) throw new SbxError("supervisor_lost", "the sandbox is gone", { hint: "sbx list" });
  const disk = writer.path === "/" ? ("root" as const) : volume.id;
  // Without the caller's signal: whether it was done would not be known.
  const call = { disk, layerPath: layerFiles.pathOf(next) };
  const answer = await switchDisk({ socketPath: sandbox.socket }, call, timeoutMs);
  return answer.isClean;
}

/** Completes what was begun; takes it back where the supervisor says that it was not done, and will not be. */
export async function settleSwitch(state: DiskState, volume: VolumeRow, timeoutMs?: number): Promise<void> {
  if (volume.next === null) return;
  const next = state.disks.layers.get(volume.next);
  if (next === undefined) return;
  const writer = writerOf(state.disks, volume.id);
  if (writer === null && !(await state.layerFiles.isThere(next))) {
    // It was being taken back, and only its file is gone: nobody has written to it.
    await takeBackSwitch(state, volume, next);
    return;
  }
  let isClean = false;
  try {
    if (writer !== null) isClean = await askSupervisor(state, volume, next, writer, timeoutMs);
  } catch (error) {
    // A sandbox that is ending says nothing about what it did before: it is completed when the sandbox is gone.
    if (isUndecided(error) || isEnding(error)) throw error;
    await takeBackSwitch(state, volume, next);
    return;
  }
  await commitSwitch(state, volume, { next: next.id, isClean });
}

function isEnding(error: unknown): boolean {
  return error instanceof SbxError && error.code === "sandbox_stopped";
}

async function takeBackSwitch(
  state: DiskState,
  volume: VolumeRow,
  next: Pick<NewLayer, "id" | "format">,
): Promise<void> {
  const { disks } = state;
  await takeBack(state, [next], () => {
    disks.volumes.setNext(volume.id, null);
    for (const snapshot of disks.snapshots.makingOf(volume.head)) disks.snapshots.forget(snapshot.id);
  });
}

/** What was the head is sealed, the next layer is the head, and the snapshot is there. */
async function commitSwitch(
  { disks, layerFiles }: DiskState,
  volume: VolumeRow,
  { next, isClean }: { next: string; isClean: boolean },
): Promise<void> {
  const head = disks.layers.get(volume.head);
  if (head === undefined) throw new SbxError("volume_broken", `the head of volume ${volume.slug} is not recorded`);
  const stamp = await layerFiles.seal(head);
  disks.change(() => {
    disks.layers.seal(head.id, stamp);
    disks.layers.open(next);
    disks.volumes.setHead(volume.id, next);
    for (const snapshot of disks.snapshots.makingOf(head.id)) disks.snapshots.ready(snapshot.id, isClean);
  });
}

/** The sandbox that writes to a volume. @throws SbxError `volume_in_use` if a process of the host does */
export function writerOf({ claims }: DiskStore, volumeId: string): ClaimRow | null {
  const writer = claims.of(volumeId).find(({ access }) => access === "read-write");
  return writer === undefined || writer.path === null ? null : writer;
}

function layerAbove(volume: VolumeRow): NewLayer {
  const shape = { baseImage: null, format: "qcow2", sizeBytes: diskBytesFor(volume.capacityBytes) } as const;
  return { id: newLayerId(), parent: volume.head, ...shape };
}

function headFormat({ layers }: DiskStore, volume: VolumeRow): LayerFormat {
  return layers.get(volume.head)?.format ?? "qcow2";
}

function requireSnapshot({ snapshots }: DiskStore, id: string): SnapshotRow {
  const row = snapshots.get(id);
  if (row === undefined) throw new SbxError("snapshot_not_found", `the snapshot ${id} was removed meanwhile`);
  return row;
}
