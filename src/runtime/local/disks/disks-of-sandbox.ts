/** What a sandbox has of volumes and snapshots, for its owner to see. */
import type { DiskStore } from "../../../store/disks/disk-store.ts";
import type { SandboxDisk } from "../../types.ts";

export function disksOf(disks: DiskStore, sandboxId: string): SandboxDisk[] {
  if (disks.isEmpty()) return [];
  const root = disks.claims.listDisks().find((disk) => disk.sandboxId === sandboxId);
  const snapshot = root?.snapshotId == null ? undefined : disks.snapshots.get(root.snapshotId);
  const volumes = disks.claims.list().filter(({ holder }) => holder === sandboxId);
  return [
    ...(snapshot === undefined
      ? []
      : [{ kind: "snapshot" as const, id: snapshot.id, name: snapshot.slug, path: "/", access: "read-only" as const }]),
    ...volumes.map(({ volumeId: id, path, access }) => {
      const name = disks.volumes.get(id)?.slug ?? id;
      return { kind: "volume" as const, id, name, path: path ?? "", access };
    }),
  ];
}
