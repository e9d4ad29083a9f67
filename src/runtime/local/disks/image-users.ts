/** What would be broken without an image. */
import type { DiskStore } from "../../../store/disks/disk-store.ts";

export interface ImageUser {
  kind: "sandbox" | "volume" | "removed volume" | "snapshot" | "checkpoint";
  name: string;
}

/** Disks that lie over the image's root file system; removed volumes as well, as long as they can be restored. */
export function imageUsers({ layers, volumes, snapshots, checkpoints }: DiskStore, imageId: string): ImageUser[] {
  if (!layers.imagesInUse().has(imageId)) return [];
  const standsOn = (layer: string): boolean => layers.chain(layer)[0]?.baseImage === imageId;
  return [
    ...volumes
      .list()
      .filter(({ head }) => standsOn(head))
      .map(({ slug, removedAt }): ImageUser => ({
        kind: removedAt === null ? "volume" : "removed volume",
        name: slug,
      })),
    ...snapshots
      .list()
      .flatMap(({ layer, slug }) => (standsOn(layer) ? [{ kind: "snapshot" as const, name: slug }] : [])),
    // Those of apps are not: without one its app starts anew.
    ...checkpoints
      .listNamed()
      .flatMap(({ layer, name }) => (layer !== null && standsOn(layer) ? [{ kind: "checkpoint" as const, name }] : [])),
  ];
}

/** The command that ends the first of them, and all others of its kind. */
export function waysToEnd(users: readonly ImageUser[]): string {
  const kind = users[0]?.kind ?? "sandbox";
  const names = users.filter((user) => user.kind === kind).map(({ name }) => name);
  switch (kind) {
    case "sandbox":
      return `sbx kill ${names.join(" ")}`;
    case "removed volume":
      return "sbx prune --volumes";
    default:
      return `sbx ${kind} remove ${names.join(" ")}`;
  }
}
