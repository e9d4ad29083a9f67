/** Records of volumes and snapshots as the Runtime shows them, with what their files say. */
import type { LayerRow } from "../../../store/disks/layer-store.ts";
import type { SnapshotRow } from "../../../store/disks/snapshot-store.ts";
import type { VolumeRow } from "../../../store/disks/volume-store.ts";
import { CommandFailure, runCommand } from "../../../vm/image/command.ts";
import type { SnapshotInfo, VolumeInfo } from "../../disks.ts";
import { LOCAL_REGION } from "../sandbox-id.ts";
import { chainBytes, chainFaults } from "./chain.ts";
import type { DiskContext } from "./disk-context.ts";
import { RESTORABLE_MS } from "./settle.ts";

/** Exit status of `qemu-img check` for clusters that are allocated but not used: room is lost, nothing else. */
const LEAKS_ONLY = "status 3";

interface InfoOptions {
  /** Read the tables of every layer. */
  verify?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export async function volumeInfo(context: DiskContext, row: VolumeRow, options: InfoOptions = {}): Promise<VolumeInfo> {
  const { disks } = context.state;
  const bytes = await chainBytes(context, row.head);
  const holders = disks.claims.of(row.id);
  const isWritten = holders.some(({ access }) => access === "read-write");
  return {
    id: row.id,
    slug: row.slug,
    region: LOCAL_REGION,
    createdAt: row.createdAt,
    capacityBytes: row.capacityBytes,
    estimatedAllocatedBytes: bytes.allocatedBytes,
    estimatedFlattenedBytes: Math.min(bytes.flattenedBytes, row.capacityBytes),
    isBootable: row.imageId !== null,
    baseSnapshot: row.base,
    imageId: row.imageId,
    holders: holders.map(({ holder, holderName, access, path }) => ({ id: holder, name: holderName, access, path })),
    removedAt: row.removedAt,
    restorableUntil: row.removedAt === null ? null : row.removedAt + RESTORABLE_MS,
    faults: await faultsOf(context, disks.layers.chain(row.head), { ...options, headInUse: isWritten }),
  };
}

export async function snapshotInfo(
  context: DiskContext,
  row: SnapshotRow,
  options: InfoOptions = {},
): Promise<SnapshotInfo> {
  const { disks } = context.state;
  const parent = row.parentId === null ? undefined : disks.snapshots.get(row.parentId);
  const bytes = await chainBytes(context, row.layer);
  return {
    id: row.id,
    slug: row.slug,
    region: LOCAL_REGION,
    createdAt: row.createdAt,
    sizeBytes: row.sizeBytes,
    allocatedBytes: bytes.allocatedBytes,
    flattenedBytes: Math.min(bytes.flattenedBytes, row.sizeBytes),
    isBootable: row.imageId !== null,
    imageId: row.imageId,
    source: row.source,
    parent: parent === undefined ? null : { id: parent.id, slug: parent.slug },
    isClean: row.isClean,
    usedBy: usersOf(context, row),
    faults: await faultsOf(context, disks.layers.chain(row.layer), { ...options, headInUse: false }),
  };
}

/**
 * What was made from a snapshot, and would be without its base. Later snapshots of the volume that it was taken from
 * are not: they have all of its layers, and keep them when it is removed.
 */
export function usersOf({ state }: DiskContext, snapshot: SnapshotRow): SnapshotInfo["usedBy"] {
  const { disks, store } = state;
  const volumes = disks.volumes.listReady().filter(({ base }) => base?.id === snapshot.id);
  const sandboxes = disks.claims.listDisks().filter(({ snapshotId }) => snapshotId === snapshot.id);
  const snapshots = disks.snapshots.list().filter(({ parentId }) => parentId === snapshot.id);
  const checkpoints = disks.checkpoints
    .list()
    .filter(({ layer }) => layer !== null && disks.layers.chain(layer).some(({ id }) => id === snapshot.layer));
  return [
    ...volumes.map(({ id, slug }) => ({ kind: "volume" as const, id, name: slug })),
    ...sandboxes.map(({ sandboxId: id }) => ({ kind: "sandbox" as const, id, name: store.get(id)?.name ?? id })),
    ...snapshots.map(({ id, slug }) => ({ kind: "snapshot" as const, id, name: slug })),
    ...checkpoints.map(({ id, name }) => ({ kind: "checkpoint" as const, id, name })),
  ];
}

async function faultsOf(
  context: DiskContext,
  chain: readonly LayerRow[],
  { verify = false, headInUse, signal }: InfoOptions & { headInUse: boolean },
): Promise<string[]> {
  const faults = await chainFaults(context, chain);
  if (!verify || faults.length > 0) return faults;
  for (const layer of chain) {
    // Whoever writes to it has newer tables than the file.
    if (layer.format !== "qcow2" || (headInUse && layer === chain.at(-1))) continue;
    const fault = await checkTables(context.state.layerFiles.pathOf(layer), signal);
    if (fault !== null) faults.push(fault);
  }
  return faults;
}

/** Without the chain: what lies below is checked by itself. */
async function checkTables(file: string, signal: AbortSignal | undefined): Promise<string | null> {
  const image = JSON.stringify({ driver: "qcow2", file: { driver: "file", filename: file }, backing: null });
  try {
    await runCommand(["qemu-img", "check", "-q", `json:${image}`], { signal });
    return null;
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    if (error.message.includes(LEAKS_ONLY)) return null;
    return `${file}: ${error.output.split("\n")[0] ?? error.message}`;
  }
}
