/** Making a volume: an empty file system, or a layer over an image or snapshot. Recorded before a file of it is there. */
import { syncPath } from "../../../host/durable-file.ts";
import { newLayerId, newVolumeId } from "../../../store/disks/disk-names.ts";
import type { LayerFormat, NewLayer } from "../../../store/disks/layer-store.ts";
import type { SnapshotRow } from "../../../store/disks/snapshot-store.ts";
import type { NewVolume, VolumeRow } from "../../../store/disks/volume-store.ts";
import type { OpenImage } from "../../../vm/image/image-store.ts";
import type { VolumeSpec } from "../../disks.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import { openChain } from "./chain.ts";
import type { DiskContext } from "./disk-context.ts";
import { explainDiskError } from "./disk-errors.ts";
import { findNamed } from "./find-disk.ts";
import { takeBack } from "./garbage.ts";
import { diskBytesFor, makeVolumeFileSystem, MAX_VOLUME_BYTES, MIN_VOLUME_BYTES } from "./volume-file-system.ts";

type Origin =
  | { kind: "empty" }
  | { kind: "image"; image: OpenImage; sizeBytes: number }
  | { kind: "snapshot"; row: SnapshotRow; format: LayerFormat };

/** @throws SbxError `name_in_use`, `usage`, `image_not_found`, `snapshot_broken`, `disk_full`; nothing is left then */
export async function makeVolume(
  context: DiskContext,
  spec: VolumeSpec,
  options: CallOptions & { defaultBytes: number },
): Promise<VolumeRow> {
  const { disks } = context.state;
  disks.checkName(spec.slug); // before anything takes time
  const origin = await findOrigin(context, spec.from);
  const capacityBytes = checkCapacity(spec.capacityBytes ?? defaultCapacity(origin, options.defaultBytes), origin);
  const head: NewLayer = { id: newLayerId(), ...shapeOf(origin), sizeBytes: diskBytesFor(capacityBytes) };
  const volume: NewVolume = {
    ...{ id: newVolumeId(), slug: spec.slug, capacityBytes, head: head.id },
    imageId: origin.kind === "image" ? origin.image.id : origin.kind === "snapshot" ? origin.row.imageId : null,
    base: origin.kind === "snapshot" ? { id: origin.row.id, slug: origin.row.slug } : null,
  };
  disks.change(() => {
    disks.checkName(spec.slug);
    if (origin.kind === "snapshot") requireReady(context, origin.row);
    const now = Date.now();
    disks.layers.begin(head, now);
    disks.volumes.begin(volume, now);
  });
  try {
    await makeHead(context, head, volume, origin, options);
    disks.change(() => {
      disks.layers.open(head.id);
      disks.volumes.ready(volume.id);
    });
  } catch (error) {
    await takeBack(context.state, [head], () => disks.volumes.forget(volume.id));
    throw explainDiskError(error, context.state.layerFiles.directory);
  }
  const row = disks.volumes.get(volume.id);
  if (row === undefined) throw new SbxError("volume_not_found", `volume ${spec.slug} was removed meanwhile`);
  return row;
}

async function findOrigin(context: DiskContext, from: string | undefined): Promise<Origin> {
  if (from === undefined) return { kind: "empty" };
  const { disks } = context.state;
  const row = findNamed(disks.snapshots.listReady(), from);
  const image = await context.images.open(from).catch((error: unknown) => error as Error);
  if (row !== undefined && row.id !== from && !(image instanceof Error) && image.id !== from) {
    throw new SbxError("usage", `${JSON.stringify(from)} is both an image and a snapshot`, {
      hint: `give an id: ${row.id} is the snapshot, ${image.id.slice(0, 12)} the image`,
    });
  }
  if (row !== undefined) {
    await openChain(context, row.layer, { kind: "snapshot", slug: row.slug });
    return { kind: "snapshot", row, format: disks.layers.get(row.layer)?.format ?? "qcow2" };
  }
  if (!(image instanceof Error))
    return { kind: "image", image, sizeBytes: image.manifest.files["root.ext4"].sizeBytes };
  if (!(image instanceof SbxError) || image.code !== "image_not_found") throw image;
  throw new SbxError("snapshot_not_found", `there is neither a snapshot nor an image ${JSON.stringify(from)}`, {
    hint: "sbx snapshot list, or sbx image list",
  });
}

function defaultCapacity(origin: Origin, defaultBytes: number): number {
  switch (origin.kind) {
    case "empty":
      throw new SbxError("usage", "an empty volume needs a capacity", { hint: "--capacity 10GB" });
    case "image":
      return Math.max(defaultBytes, origin.sizeBytes);
    case "snapshot":
      return origin.row.sizeBytes;
  }
}

function checkCapacity(capacityBytes: number, origin: Origin): number {
  const least =
    origin.kind === "snapshot" ? origin.row.sizeBytes : origin.kind === "image" ? origin.sizeBytes : MIN_VOLUME_BYTES;
  if (capacityBytes < least) {
    const what = origin.kind === "empty" ? "a volume" : `what the volume is made from`;
    throw new SbxError("usage", `${capacityBytes} bytes are too few: ${what} has at least ${least}`, {
      hint: `--capacity ${Math.ceil(least / 1e6)}MB`,
    });
  }
  if (capacityBytes > MAX_VOLUME_BYTES) {
    throw new SbxError("usage", `${capacityBytes} bytes are too many: a volume has at most ${MAX_VOLUME_BYTES}`);
  }
  return capacityBytes;
}

function shapeOf(origin: Origin): Pick<NewLayer, "parent" | "baseImage" | "format"> {
  switch (origin.kind) {
    case "empty":
      return { parent: null, baseImage: null, format: "raw" };
    case "image":
      return { parent: null, baseImage: origin.image.id, format: "qcow2" };
    case "snapshot":
      return { parent: origin.row.layer, baseImage: null, format: "qcow2" };
  }
}

async function makeHead(
  { state }: DiskContext,
  head: NewLayer,
  volume: NewVolume,
  origin: Origin,
  { signal }: CallOptions,
): Promise<void> {
  const { layerFiles } = state;
  if (origin.kind !== "empty") {
    await layerFiles.makeOverlay(head, head.sizeBytes, origin.kind === "image" ? "raw" : origin.format);
    return;
  }
  const file = await layerFiles.makeRaw(head, head.sizeBytes);
  await makeVolumeFileSystem(file, { label: volume.slug, sizeBytes: head.sizeBytes, signal });
  await syncPath(file);
}

function requireReady({ state }: DiskContext, snapshot: SnapshotRow): void {
  if (state.disks.snapshots.get(snapshot.id)?.state === "ready") return;
  throw new SbxError("snapshot_not_found", `snapshot ${snapshot.slug} was removed meanwhile`);
}
