/** What `sbx prune` removes of disks: what nothing refers to, and on demand what could still be restored. */
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { DAMAGED_SUFFIX } from "../../../store/database.ts";
import type { VolumeRow } from "../../../store/disks/volume-store.ts";
import { SbxError } from "../../errors.ts";
import type { PrunedKind } from "../../types.ts";
import type { DiskState } from "./disk-context.ts";
import { collectGarbage } from "./garbage.ts";

/** Does the work unless it is only to be said what would be done; reports either. */
type Attempt = (kind: PrunedKind, id: string, bytes: number, work: () => unknown) => Promise<void>;

export async function pruneDisks(
  state: DiskState,
  options: { dryRun: boolean; volumes: boolean },
  attempt: Attempt,
): Promise<void> {
  const { disks, layerFiles } = state;
  for (const file of damagedCatalogues(state)) await attempt("directory", path.basename(file), 0, () => rmSync(file));
  const removed = disks.volumes.list().filter(({ removedAt }) => removedAt !== null);
  for (const volume of options.volumes ? removed : []) {
    const head = disks.layers.get(volume.head);
    const bytes = head === undefined ? 0 : await layerFiles.allocatedBytes(head);
    await attempt("volume", volume.id, bytes, () => forgetRemoved(state, volume));
  }
  if (options.dryRun) {
    for (const layer of disks.layers.findGarbage()) {
      await attempt("layer", layer.id, await layerFiles.allocatedBytes(layer), () => undefined);
    }
    return;
  }
  const heads = new Set(options.volumes ? removed.map(({ head }) => head) : []);
  for (const { id, bytes } of await collectGarbage(state)) {
    // The head was counted with its volume.
    if (!heads.has(id)) await attempt("layer", id, bytes, () => undefined);
  }
}

/** In one step with the look at it: until then it can be restored. */
function forgetRemoved({ disks }: DiskState, { id, slug }: VolumeRow): void {
  disks.change(
    () => {
      if (disks.volumes.get(id)?.removedAt === null) {
        throw new SbxError("volume_in_use", `volume ${slug} was restored meanwhile`);
      }
      disks.volumes.forget(id);
    },
    { frees: true },
  );
}

/** Records of volumes that could not be read and were set aside. */
export function damagedCatalogues({ paths }: Pick<DiskState, "paths">): string[] {
  const { dir, base } = path.parse(paths.cataloguePath);
  try {
    const names = readdirSync(dir).filter((name) => name.startsWith(`${base}${DAMAGED_SUFFIX}`));
    return names.map((name) => path.join(dir, name));
  } catch {
    return []; // There has never been a volume.
  }
}
