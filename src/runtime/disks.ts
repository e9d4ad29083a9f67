/**
 * Volumes and snapshots at the Runtime interface: disks that outlive a sandbox. A volume is written to by one sandbox at
 * a time; a snapshot never changes, and any number of sandboxes and volumes may stand on it. Their names are one
 * namespace. Sizes are bytes, times are epoch ms.
 */
import type { Writable } from "node:stream";
import type { CallOptions } from "./types.ts";

export type DiskAccess = "read-write" | "read-only";

/** Who uses a volume now. */
export interface VolumeHolder {
  /** A sandbox's id, or what a process of the host does with it. */
  id: string;
  /** As a user calls it. */
  name: string;
  access: DiskAccess;
  /** Where the sandbox has it; `/` for a root disk, `null` for a process of the host. */
  path: string | null;
}

export interface VolumeInfo {
  id: string;
  slug: string;
  region: string;
  createdAt: number;
  capacityBytes: number;
  /** What it takes on the host's disk beyond the next snapshot or image below it. */
  estimatedAllocatedBytes: number;
  /** What it would take without anything below it. */
  estimatedFlattenedBytes: number;
  /** Whether a sandbox can boot from it. */
  isBootable: boolean;
  /** The snapshot that it was made from. */
  baseSnapshot: { id: string; slug: string } | null;
  imageId: string | null;
  holders: VolumeHolder[];
  /** For a removed one that can still be restored: when it was removed, and until when. */
  removedAt: number | null;
  restorableUntil: number | null;
  /** What is wrong with its files; empty when nothing is. */
  faults: string[];
}

export interface SnapshotInfo {
  id: string;
  slug: string;
  region: string;
  createdAt: number;
  /** Size of the disk that it shows. */
  sizeBytes: number;
  /** What it takes on the host's disk beyond the next snapshot or image below it. */
  allocatedBytes: number;
  flattenedBytes: number;
  isBootable: boolean;
  imageId: string | null;
  /** What it was taken from, as it was called then. */
  source: { kind: "volume" | "sandbox" | "file"; id: string; name: string | null };
  /** Snapshot that its source was made from, if that is still there. */
  parent: { id: string; slug: string } | null;
  /** Whether its file system stood still while it was taken. If not, it holds what a loss of power leaves. */
  isClean: boolean;
  /** What stands on it, as a user calls it: it cannot be removed while there is anything. */
  usedBy: { kind: "volume" | "sandbox" | "snapshot" | "checkpoint"; id: string; name: string }[];
  faults: string[];
}

/** A snapshot and what was made from it. */
export interface SnapshotTree extends Pick<SnapshotInfo, "id" | "slug" | "createdAt" | "sizeBytes" | "allocatedBytes"> {
  snapshots: SnapshotTree[];
  volumes: { id: string; slug: string }[];
  sandboxes: { id: string; name: string | null }[];
}

export interface VolumeSpec {
  slug: string;
  /** Absent: as large as what it is made from. */
  capacityBytes?: number;
  /** Name or id of an image or snapshot; an empty file system if absent. */
  from?: string;
}

/** Where an export goes: a stream, or a file that is there, whole, when the call returns. */
export type ExportTarget = Writable | { path: string; overwrite: boolean };

export interface ExportReport {
  /** Bytes that were read, holes left out. */
  contentBytes: number;
  /** Bytes that were written. */
  fileBytes: number;
  /** Of the content, lower-case hex. */
  sha256: string;
}

export interface ImportSpec {
  /** The name in the file if absent. */
  slug?: string;
  /** The most that the disk in the file may have. */
  maxBytes?: number;
}

export interface VolumeApi {
  /** @throws SbxError `name_in_use`, `image_not_found`, `snapshot_broken`, `disk_full` */
  create(spec: VolumeSpec, options?: CallOptions): Promise<VolumeInfo>;
  /** The newest first. `search` is a part of the name or the beginning of the id; `removed`: those, and only those. */
  list(options?: CallOptions & { search?: string; removed?: boolean }): Promise<VolumeInfo[]>;
  /** By id, name, or a unique prefix of either. `verify` reads all of its tables. @throws SbxError `volume_not_found` */
  get(ref: string, options?: CallOptions & { verify?: boolean }): Promise<VolumeInfo>;
  /** Frees the name at once, the content after 24 hours. @throws SbxError `volume_in_use` */
  remove(ref: string, options?: CallOptions): Promise<VolumeInfo>;
  /** Brings a removed one back, under `slug` if its name was taken meanwhile. */
  restore(ref: string, options?: CallOptions & { slug?: string }): Promise<VolumeInfo>;
  /** Grows it, in a running sandbox too. Never shrinks. */
  resize(ref: string, capacityBytes: number, options?: CallOptions): Promise<VolumeInfo>;
  snapshot(ref: string, slug: string, options?: CallOptions): Promise<SnapshotInfo>;
  /** @throws SbxError `volume_in_use` while it is written to */
  export(ref: string, target: ExportTarget, options?: CallOptions): Promise<ExportReport>;
  /** The source is not trusted. @throws SbxError `disk_file_invalid` saying what is wrong with it; nothing is left then */
  import(source: AsyncIterable<Uint8Array>, spec: ImportSpec, options?: CallOptions): Promise<VolumeInfo>;
  /** @throws SbxError `volume_in_use`, `volume_broken`, `sandbox_not_found` */
  attach(
    ref: string,
    sandbox: string,
    mount: { path: string; access: DiskAccess },
    options?: CallOptions,
  ): Promise<VolumeInfo>;
  /** @throws SbxError `guest_error` while a process in the guest uses it */
  detach(ref: string, sandbox: string, options?: CallOptions): Promise<VolumeInfo>;
}

export interface SnapshotApi {
  /** Of a volume, or of a running sandbox's own disk. */
  create(slug: string, from: string, options?: CallOptions): Promise<SnapshotInfo>;
  list(options?: CallOptions & { search?: string }): Promise<SnapshotInfo[]>;
  /** @throws SbxError `snapshot_not_found` */
  get(ref: string, options?: CallOptions & { verify?: boolean }): Promise<SnapshotInfo>;
  /** @throws SbxError `snapshot_in_use` with what stands on it */
  remove(ref: string, options?: CallOptions): Promise<SnapshotInfo>;
  tree(options?: CallOptions): Promise<SnapshotTree[]>;
  export(ref: string, target: ExportTarget, options?: CallOptions): Promise<ExportReport>;
  import(source: AsyncIterable<Uint8Array>, spec: ImportSpec, options?: CallOptions): Promise<SnapshotInfo>;
}
