/**
 * How much a folder may grow by what the guest writes: bytes on the host's disk and entries in its directories. Both
 * are what the guest added less what it took away, so a build that replaces its output a hundred times is no problem,
 * and none can fill the disk.
 */
import { type BigIntStats, fstatSync } from "node:fs";
import { FuseError } from "./fuse-error.ts";

/** `st_blocks` counts in these, whatever the file system's own are. */
const BLOCK_BYTES = 512;
/** A file system may take so much more for a write than was written. */
const SLACK_BYTES = 64 * 1024;

export interface QuotaLimits {
  /** Growth, `bytes`. */
  bytes: number;
  /** New files, directories and links. */
  files: number;
}

export class WriteQuota {
  readonly limits: QuotaLimits;
  #bytes = 0;
  #files = 0;

  constructor(limits: QuotaLimits) {
    this.limits = limits;
  }

  get usedBytes(): number {
    return this.#bytes;
  }

  get usedFiles(): number {
    return this.#files;
  }

  get freeBytes(): number {
    return Math.max(0, this.limits.bytes - this.#bytes);
  }

  get freeFiles(): number {
    return Math.max(0, this.limits.files - this.#files);
  }

  /** Before an entry is made. @throws FuseError EDQUOT */
  needFile(): void {
    if (this.#files >= this.limits.files) throw new FuseError("EDQUOT");
  }

  addFiles(count: number): void {
    this.#files += count;
  }

  /**
   * Before `length` bytes are written at `offset`. Near the limit only what surely takes no room is let through.
   *
   * @throws FuseError EDQUOT
   */
  needBytes(fd: number, offset: number, length: number): void {
    if (this.limits.bytes - this.#bytes >= length + SLACK_BYTES) return;
    const stats = fstatSync(fd, { bigint: true });
    const isDense = takenBy(stats) >= Number(stats.size);
    if (!isDense || offset + length > Number(stats.size)) throw new FuseError("EDQUOT");
  }

  /** After something changed what a file takes. */
  addBytes(count: number): void {
    this.#bytes += count;
  }
}

/** What a file takes on the disk, `bytes`. */
export function takenBy(stats: BigIntStats): number {
  return Number(stats.blocks) * BLOCK_BYTES;
}
