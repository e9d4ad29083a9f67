/** What the volumes and snapshots of a home take of the disk. */
import { statSync } from "node:fs";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { LayerStore } from "../disks/layer-store.ts";
import { SnapshotStore } from "../disks/snapshot-store.ts";
import { VolumeStore } from "../disks/volume-store.ts";
import type { StorageSample } from "./meter-store.ts";

/** `st_blocks` counts these (stat(2)), `bytes`. */
const BLOCK_BYTES = 512;

/**
 * Each file counts once: for the snapshot that it is a part of, or else for the first volume that stands on it.
 *
 * @param layersPath where the files of layers lie
 */
export function storageSizes(database: DatabaseSync, layersPath: string): StorageSample[] {
  const layers = new LayerStore(database);
  const counted = new Set<string>();
  const own = (head: string): number =>
    layers
      .chain(head)
      .filter(({ id }) => !counted.has(id))
      .reduce((sum, { id, format }) => {
        counted.add(id);
        return sum + allocated(path.join(layersPath, `${id}.${format}`));
      }, 0);
  const snapshots = new SnapshotStore(database).listReady().toSorted((a, b) => a.createdAt - b.createdAt);
  const volumes = new VolumeStore(database).listReady().toSorted((a, b) => a.createdAt - b.createdAt);
  return [
    ...snapshots.map(({ id, slug, createdAt, layer }) => ({
      ...{ kind: "snapshot" as const, id, name: slug, createdAt, bytes: own(layer) },
    })),
    ...volumes.map(({ id, slug, createdAt, head }) => ({
      ...{ kind: "volume" as const, id, name: slug, createdAt, bytes: own(head) },
    })),
  ];
}

function allocated(file: string): number {
  return (statSync(file, { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES;
}
