/**
 * Numbers and layouts of the FUSE kernel protocol, major version 7 (linux/fuse.h of the kernel's user interface), as
 * far as a folder needs them. All integers are little-endian here: both of sbx's architectures are.
 */

export const FUSE_MAJOR = 7;
/** The minor version that is spoken; a kernel that knows more keeps to it. */
export const FUSE_MINOR = 31;
/** Below this, structures have other sizes (7.23 has the long answer to INIT). */
export const OLDEST_MINOR = 31;

export const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;
export const ATTR_BYTES = 88;
export const ENTRY_BYTES = 40 + ATTR_BYTES;
export const ATTR_OUT_BYTES = 16 + ATTR_BYTES;
export const DIRENT_BYTES = 24;
export const ROOT_ID = 1;

/** Longest write and read, `bytes`. The kernel sends so much in one request (`max_pages` below). */
export const MAX_IO_BYTES = 512 * 1024;
const PAGE_BYTES = 4096;
export const MAX_PAGES = MAX_IO_BYTES / PAGE_BYTES;
/** A request: header, the fields of a write, data. Names are shorter than that. */
export const MAX_REQUEST_BYTES = MAX_IO_BYTES + PAGE_BYTES;
/** Longest name of a file on Linux, `bytes`. */
export const MAX_NAME_BYTES = 255;
/** Longest text of a symbolic link that the kernel takes, `bytes`. */
export const MAX_LINK_BYTES = 4095;

export const OP = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  create: 35,
  interrupt: 36,
  destroy: 38,
  notifyReply: 41,
  batchForget: 42,
  readdirplus: 44,
  rename2: 45,
} as const;

/** Flags of INIT: what the kernel offers and the server takes. */
export const INIT = {
  asyncRead: 1 << 0,
  atomicTruncate: 1 << 3,
  bigWrites: 1 << 5,
  /** The kernel asks anew for a file's pages when its time or size has changed. */
  autoInvalidate: 1 << 12,
  readdirplus: 1 << 13,
  readdirplusAuto: 1 << 14,
  parallelDirectories: 1 << 18,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
} as const;

/** Which fields of SETATTR count. */
export const SET = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  handle: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
} as const;

/** Flag of an answer to OPEN: pages that the kernel still has are good. */
export const FOPEN_KEEP_CACHE = 1 << 1;
/** Flag of GETATTR: a handle is given. */
export const GETATTR_HANDLE = 1 << 0;
/** Flag of FSYNC: the data alone. */
export const FSYNC_DATA = 1 << 0;

/** Unsolicited message to the kernel: forget a name. */
export const NOTIFY_INVALIDATE_ENTRY = 3;

/** Open flags of Linux as the guest's kernel sends them; the same on x64 and arm64 but for those not used here. */
export const OPEN = { accessMode: 0o3, writeOnly: 0o1, readWrite: 0o2, exclusive: 0o200, truncate: 0o1000 } as const;
