/** What of the host a new sandbox is to have. */

/** Something of the host that a new sandbox gets a copy of. */
export interface CopySpec {
  /** A file or directory of the host, absolute. */
  hostPath: string;
  /** In the guest, absolute. */
  guestPath: string;
  /** Whether `guestPath` is the copy itself, or a directory in which it gets its own name. */
  placement: "as" | "into";
}

/** A directory of the host that a sandbox sees while it runs. */
export interface MountSpec {
  /** A directory of the host, absolute. */
  hostPath: string;
  /** In the guest, absolute, and not `/`. */
  guestPath: string;
  access: "read-only" | "read-write";
  /** How much it may grow by what the guest writes; the default if absent. */
  quota?: { bytes?: number; files?: number };
}

export const DEFAULT_MOUNT_QUOTA = { bytes: 4 * 1024 ** 3, files: 100_000 } as const;
