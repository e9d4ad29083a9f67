/** Layers that nothing is made of any more. */
import type { DiskState } from "./disk-context.ts";

export interface RemovedLayer {
  id: string;
  bytes: number;
}

/** Removes them. They are marked first, so that nobody begins to use one, and forgotten last. */
export async function collectGarbage({
  disks,
  layerFiles,
}: Pick<DiskState, "disks" | "layerFiles">): Promise<RemovedLayer[]> {
  if (disks.layers.findGarbage().length === 0) return [];
  const doomed = disks.change(
    () => {
      // Root disks of sandboxes that are gone name layers, too.
      disks.claims.dropStale();
      return disks.layers.doomGarbage();
    },
    { frees: true },
  );
  const removed: RemovedLayer[] = [];
  for (const layer of doomed) {
    removed.push({ id: layer.id, bytes: await layerFiles.allocatedBytes(layer) });
    await layerFiles.remove(layer);
  }
  disks.change(
    () => {
      for (const { id } of doomed) disks.layers.forget(id);
    },
    { frees: true },
  );
  return removed;
}
