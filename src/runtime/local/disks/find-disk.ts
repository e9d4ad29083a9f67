/** Finds the volume or snapshot that is meant: a full id, then a name, then a unique prefix of either. */
import type { DiskStore } from "../../../store/disks/disk-store.ts";
import type { SnapshotRow } from "../../../store/disks/snapshot-store.ts";
import type { VolumeRow } from "../../../store/disks/volume-store.ts";
import { SbxError, type ErrorCode } from "../../errors.ts";

interface Named {
  id: string;
  slug: string;
}

/** @throws SbxError `volume_not_found`; `usage` for a prefix of several */
export function findVolume(disks: DiskStore, ref: string): VolumeRow {
  const ready = disks.volumes.listReady();
  const found = findNamed(ready, ref);
  if (found !== undefined) return found;
  if (findNamed(disks.snapshots.listReady(), ref) !== undefined) {
    throw new SbxError("volume_not_found", `${JSON.stringify(ref)} is a snapshot, which never changes`, {
      hint: `make a volume from it: sbx volume create NAME --from ${ref}`,
    });
  }
  const removed = disks.volumes.list().find((row) => row.removedAt !== null && (row.slug === ref || row.id === ref));
  throw notFound("volume", ref, removed === undefined ? "sbx volume list" : `sbx volume restore ${ref}`);
}

/** Among those that were removed and can still be brought back. @throws as {@link findVolume} */
export function findRemovedVolume(disks: DiskStore, ref: string): VolumeRow {
  const removed = disks.volumes.list().filter(({ removedAt }) => removedAt !== null);
  const found = findNamed(removed, ref);
  if (found !== undefined) return found;
  throw notFound("removed volume", ref, "sbx volume list --removed");
}

/** @throws SbxError `snapshot_not_found`; `usage` for a prefix of several */
export function findSnapshot(disks: DiskStore, ref: string): SnapshotRow {
  const found = findNamed(disks.snapshots.listReady(), ref);
  if (found !== undefined) return found;
  throw notFound("snapshot", ref, "sbx snapshot list");
}

/** @throws SbxError `usage` for a prefix of several */
export function findNamed<T extends Named>(rows: readonly T[], ref: string): T | undefined {
  const exact = rows.find(({ id }) => id === ref) ?? rows.find(({ slug }) => slug === ref);
  if (exact !== undefined || ref === "") return exact;
  const matches = rows.filter(({ id, slug }) => slug.startsWith(ref) || id.startsWith(ref));
  if (matches.length > 1) {
    const names = matches.slice(0, 5).map(({ slug }) => slug);
    throw new SbxError("usage", `${JSON.stringify(ref)} may mean ${names.join(", ")}`, { hint: "give the whole name" });
  }
  return matches[0];
}

function notFound(what: "volume" | "removed volume" | "snapshot", ref: string, hint: string): SbxError {
  const code: ErrorCode = what === "snapshot" ? "snapshot_not_found" : "volume_not_found";
  return new SbxError(code, `there is no ${what} ${JSON.stringify(ref)}`, { hint });
}
