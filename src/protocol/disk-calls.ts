/**
 * Calls about disks over a supervisor's Unix socket (0600, its user's alone): JSON bodies both ways. The server parses
 * what it is sent with the schemas here, all of them bounded. Errors are `{ code, message, hint? }` with a status of 400
 * or above, as everywhere on that socket.
 *
 *     GET    /sbx/v1/volumes                         → AttachedVolume[]
 *     POST   /sbx/v1/volumes         VolumeAttachment → AttachedVolume     attached and mounted when it answers
 *     DELETE /sbx/v1/volumes/<id>                    → AttachedVolume      unmounted and taken away
 *     PATCH  /sbx/v1/volumes/<id>    ResizeCall      → AttachedVolume      grown, file system included
 *     POST   /sbx/v1/disk-snapshots  SnapshotCall    → SnapshotAnswer
 */
import * as z from "zod/mini";

export const VOLUMES_TARGET = "/sbx/v1/volumes";
export const DISK_SNAPSHOTS_TARGET = "/sbx/v1/disk-snapshots";

/** Longest body of these calls, `bytes`: a chain of a thousand layers fits. */
export const MAX_DISK_BODY_BYTES = 1024 * 1024;
/** Layers of one disk. Twenty generations of forks have twenty-odd; QEMU opens all of them. */
export const MAX_DISK_LAYERS = 256;
/** Volumes of one sandbox. */
export const MAX_ATTACHED_VOLUMES = 32;

/** A file of a disk's chain. All but the last of a chain never change. */
export interface DiskLayerRecord {
  /** On the host, absolute. */
  path: string;
  /** Never guessed: a guest can write any header into a raw disk. */
  format: "raw" | "qcow2";
}

export type VolumeAccess = "read-write" | "read-only";

/** A volume as a sandbox is given it. Whoever sends this has claimed the volume for the sandbox in the database. */
export interface VolumeAttachment {
  /** `vol_loc_…`, the disk's serial number in the guest. */
  id: string;
  /** For messages. */
  name: string;
  /** Where in the guest it is mounted, absolute. */
  path: string;
  access: VolumeAccess;
  capacityBytes: number;
  /** The chain, the volume's head last. The supervisor opens the files itself, as its own user. */
  layers: DiskLayerRecord[];
}

/** A volume that the guest of a restored machine has mounted already. */
export interface HeldVolume extends VolumeAttachment {
  /** The disk's serial number in the guest, where it is not the volume's id. */
  serial: string;
  place: { scsiId: number; lun: number };
}

export interface AttachedVolume {
  id: string;
  name: string;
  path: string;
  access: VolumeAccess;
  capacityBytes: number;
  /** Name of the device in the guest, such as `sda`. The guest says so: not to be relied on. */
  device: string;
}

export interface SnapshotAnswer {
  /**
   * Whether the guest's file system stood still from before the snapshot to after it. If not (the guest did not answer
   * in time), it holds what a machine leaves that loses its power.
   */
  isClean: boolean;
  /** How long the guest's writers waited, `ms`. */
  pausedMs: number;
}

export const VOLUME_ID = /^vol_loc_[0-9a-z]{20}$/;

const MAX_PATH_BYTES = 4096;

const hostPath = () => z.string().check(z.maxLength(MAX_PATH_BYTES), z.regex(/^\/[^\0]*$/));

const bytes = () => z.int().check(z.minimum(1), z.maximum(2 ** 52));

const layer = () => z.object({ path: hostPath(), format: z.enum(["raw", "qcow2"]) });

/** Where a disk may be mounted: an absolute path other than `/` without `.` and `..`. */
export function isMountPath(path: string): boolean {
  if (!path.startsWith("/") || path.includes("\0") || Buffer.byteLength(path) > MAX_PATH_BYTES) return false;
  const steps = path.split("/").filter((step) => step !== "");
  return steps.length > 0 && !steps.some((step) => step === "." || step === "..");
}

export const attachCall = () =>
  z.object({
    id: z.string().check(z.regex(VOLUME_ID)),
    name: z.string().check(z.minLength(1), z.maxLength(64)),
    path: z.string().check(z.refine(isMountPath, { error: "must be an absolute path other than /" })),
    access: z.enum(["read-write", "read-only"]),
    capacityBytes: bytes(),
    layers: z.array(layer()).check(z.minLength(1), z.maxLength(MAX_DISK_LAYERS)),
  });

/** Grows an attached volume. The file system grows with it. */
export const resizeCall = () => z.object({ capacityBytes: bytes() });
export type ResizeCall = z.output<ReturnType<typeof resizeCall>>;

/**
 * Makes what a disk holds now immutable: from here on the guest writes to `layerPath`, an empty qcow2 file of the disk's
 * size that nobody else uses. When it answers, the layer that the guest wrote to until now is no longer written to, and
 * may be renamed: nothing opens it by its path again.
 */
export const snapshotCall = () =>
  z.object({
    disk: z.union([z.literal("root"), z.string().check(z.regex(VOLUME_ID))]),
    layerPath: hostPath(),
  });
export type SnapshotCall = z.output<ReturnType<typeof snapshotCall>>;
