/**
 * The disks of a sandbox that is being made: finds what was asked for before anything takes time, and claims it for the
 * sandbox once that is recorded.
 */
import type { VolumeAttachment, DiskLayerRecord } from "../../../protocol/disk-calls.ts";
import type { SnapshotRow } from "../../../store/disks/snapshot-store.ts";
import type { VolumeRow } from "../../../store/disks/volume-store.ts";
import { volumeInUse } from "../../../store/disks/claim-store.ts";
import { SbxError } from "../../errors.ts";
import type { VolumeMount } from "../../types.ts";
import { openChain } from "./chain.ts";
import { lockDisk, type DiskContext } from "./disk-context.ts";
import { findNamed, findVolume } from "./find-disk.ts";
import { settleVolume } from "./settle.ts";

/** A volume that a sandbox is to have. Not claimed yet. */
export interface FoundVolume {
  row: VolumeRow;
  mount: VolumeMount;
}

/** What a sandbox is to start from. Not claimed yet. */
export interface FoundRoot {
  kind: "snapshot" | "volume";
  /** Of the snapshot or volume. */
  id: string;
  slug: string;
  /** Whose kernel boots it. */
  imageId: string;
  /** From the lowest up. Of a volume the last one is written to. */
  layers: DiskLayerRecord[];
  sizeBytes: number;
}

/**
 * Finds the volumes, and refuses what cannot be: unknown ones, one twice, one that somebody else has, damaged ones.
 *
 * @throws SbxError `volume_not_found`, `volume_in_use`, `volume_broken`, `usage`
 */
export async function findVolumes(context: DiskContext, mounts: readonly VolumeMount[]): Promise<FoundVolume[]> {
  const { disks } = context.state;
  const found: FoundVolume[] = [];
  for (const mount of mounts) {
    const row = await settled(context, findVolume(disks, mount.volume));
    if (found.some((other) => other.row.id === row.id)) {
      throw new SbxError("usage", `volume ${row.slug} was asked for twice`, { hint: "give it one place" });
    }
    const same = found.find((other) => other.mount.path === mount.path);
    if (same !== undefined) {
      throw new SbxError("usage", `${mount.path} cannot be both ${same.row.slug} and ${row.slug}`);
    }
    // Who is certainly in the way is named now, not after a template was made; the claim decides.
    const [holder] = disks.claims
      .of(row.id)
      .filter(({ access }) => mount.access === "read-write" || access === "read-write");
    if (holder !== undefined) throw volumeInUse(row, holder);
    await openChain(context, row.head, { kind: "volume", slug: row.slug });
    found.push({ row, mount });
  }
  return found;
}

/**
 * Claims the volumes for a sandbox that is recorded: all or none.
 *
 * @throws SbxError `volume_in_use` with the holder, `volume_not_found`, `volume_broken`
 */
export async function claimVolumes(
  context: DiskContext,
  volumes: readonly FoundVolume[],
  sandboxId: string,
): Promise<VolumeAttachment[]> {
  if (volumes.length === 0) return [];
  const { disks } = context.state;
  disks.change(() => {
    for (const { row, mount } of volumes) {
      requireThere(context, row);
      disks.claims.claim(row, sandboxId, mount.access, mount.path);
    }
  });
  const attachments: VolumeAttachment[] = [];
  // One at /a is there before one at /a/b, which it would hide.
  for (const { row, mount } of volumes.toSorted((a, b) => a.mount.path.length - b.mount.path.length))
    attachments.push(await attachmentOf(context, row, mount));
  return attachments;
}

/** A volume that is claimed, with its chain as it is now. */
export async function attachmentOf(
  context: DiskContext,
  { id }: VolumeRow,
  { path, access }: Pick<VolumeMount, "path" | "access">,
): Promise<VolumeAttachment> {
  const row = requireThere(context, { id, slug: id });
  const layers = await openChain(context, row.head, { kind: "volume", slug: row.slug });
  return { id, name: row.slug, path, access, capacityBytes: row.capacityBytes, layers };
}

/**
 * Finds what a sandbox is to start from.
 *
 * @throws SbxError `snapshot_not_found`, `snapshot_broken`, `volume_broken`, `volume_in_use`, `usage` for what nothing
 * boots from
 */
export async function findRoot(context: DiskContext, ref: string): Promise<FoundRoot> {
  const { disks } = context.state;
  const snapshot = findNamed(disks.snapshots.listReady(), ref);
  const volume = findNamed(disks.volumes.listReady(), ref);
  const isSnapshot = snapshot !== undefined && (volume === undefined || [snapshot.id, snapshot.slug].includes(ref));
  if (isSnapshot) return foundSnapshot(context, snapshot);
  if (volume !== undefined) return foundVolume(context, volume);
  throw new SbxError("snapshot_not_found", `there is neither a snapshot nor a volume ${JSON.stringify(ref)}`, {
    hint: "sbx snapshot list, or sbx volume list",
  });
}

/** Claims it for a sandbox that is recorded. @throws SbxError as {@link findRoot} */
export async function claimRoot(context: DiskContext, root: FoundRoot, sandboxId: string): Promise<FoundRoot> {
  const { disks } = context.state;
  if (root.kind === "snapshot") {
    disks.change(() => {
      const row = disks.snapshots.get(root.id);
      if (row?.state !== "ready") throw gone("snapshot", root.slug);
      const shape = { hasTemplate: true, snapshotId: row.id, head: null, next: null };
      disks.claims.setDisk({ sandboxId, base: row.layer, ...shape });
    });
    return root;
  }
  disks.change(() => disks.claims.claim(requireThere(context, root), sandboxId, "read-write", "/"));
  // The chain may have grown since it was looked at.
  const row = requireThere(context, root);
  return { ...root, layers: await openChain(context, row.head, { kind: "volume", slug: row.slug }) };
}

/** With what a killed command began on it completed. */
async function settled({ state }: DiskContext, row: VolumeRow): Promise<VolumeRow> {
  if (row.next === null && row.growTo === null) return row;
  await using _lock = await lockDisk(state, row.id);
  return await settleVolume(state, state.disks.volumes.get(row.id) ?? row);
}

async function foundSnapshot(context: DiskContext, row: SnapshotRow): Promise<FoundRoot> {
  const { id, slug, sizeBytes } = row;
  const imageId = await bootImage(context, row.imageId, `snapshot ${slug}`);
  const layers = await openChain(context, row.layer, { kind: "snapshot", slug });
  return { kind: "snapshot", id, slug, imageId, layers, sizeBytes };
}

async function foundVolume(context: DiskContext, row: VolumeRow): Promise<FoundRoot> {
  const { id, slug, head, capacityBytes } = await settled(context, row);
  const imageId = await bootImage(context, row.imageId, `volume ${slug}`);
  const [holder] = context.state.disks.claims.of(id);
  if (holder !== undefined) throw volumeInUse(row, holder);
  const layers = await openChain(context, head, { kind: "volume", slug });
  return { kind: "volume", id, slug, imageId, layers, sizeBytes: capacityBytes };
}

/** An imported disk holds all of its system, but the kernel comes from an image: its own, or the default one. */
async function bootImage({ images }: DiskContext, imageId: string | null, title: string): Promise<string> {
  if (imageId === null) {
    throw new SbxError("usage", `${title} holds data, and nothing boots from it`, {
      hint: "make one to boot from: sbx volume create NAME --from default",
    });
  }
  const own = await images.store.open(imageId).catch(() => null);
  return own?.id ?? (await images.open(null)).id;
}

/**
 * A volume as it is now, of which nothing is left to be completed. In the transaction that claims it.
 *
 * @throws SbxError `volume_not_found`, `volume_in_use`
 */
export function requireThere({ state }: DiskContext, { id, slug }: { id: string; slug: string }): VolumeRow {
  const row = state.disks.volumes.get(id);
  if (row === undefined || row.removedAt !== null || row.state !== "ready") throw gone("volume", slug);
  if (row.next !== null || row.growTo !== null) {
    throw new SbxError("volume_in_use", `what was begun with volume ${row.slug} is not finished`, {
      hint: "try again in a moment",
    });
  }
  return row;
}

function gone(kind: "volume" | "snapshot", slug: string): SbxError {
  return new SbxError(`${kind}_not_found`, `${kind} ${slug} was removed meanwhile`, { hint: `sbx ${kind} list` });
}
