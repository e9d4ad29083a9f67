/** Layers that nothing is made of any more. */
import type { LayerFormat } from "../../../store/disks/layer-store.ts";
import { SbxError } from "../../errors.ts";
import type { DiskState } from "./disk-context.ts";

export interface RemovedLayer {
  id: string;
  bytes: number;
}

/**
 * Takes back what this process has begun and will not finish. On a full disk the records may stay until the next command;
 * the reason why it was not finished is the one to be told.
 *
 * @param layers their files go first: that may make the room in which the records can be changed
 */
export async function takeBack(
  state: Pick<DiskState, "disks" | "layerFiles">,
  layers: readonly { id: string; format: LayerFormat }[],
  forget: () => void,
): Promise<void> {
  for (const layer of layers) await state.layerFiles.remove(layer);
  try {
    state.disks.change(
      () => {
        forget();
        for (const { id } of layers) state.disks.layers.disown(id);
      },
      { frees: true },
    );
    await collectGarbage(state);
  } catch (error) {
    if (!(error instanceof SbxError) || error.code !== "disk_full") throw error;
  }
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
