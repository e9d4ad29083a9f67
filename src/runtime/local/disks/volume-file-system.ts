/**
 * Puts an empty ext4 into a volume's file, without root and without mounting anything. The features are those of the
 * image's root file system, named one by one: a host's mke2fs.conf must not decide what a guest gets.
 */
import { randomUUID } from "node:crypto";
import { CommandFailure, runCommand } from "../../../vm/image/command.ts";
import { EXT4_CONFIGURATION, EXT4_FEATURES } from "../../../vm/image/file-system.ts";
import { SbxError } from "../../errors.ts";

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;
/** Smallest volume, `bytes`: a file system with a journal and some room. */
export const MIN_VOLUME_BYTES = 16 * MiB;
/** As for a sandbox's own disk, `bytes`. */
export const MAX_VOLUME_BYTES = 64 * 1024 ** 4;
/** Disks have whole sectors, `bytes`. */
const SECTOR_BYTES = 512;

/** Size of the disk that holds so much. */
export function diskBytesFor(capacityBytes: number): number {
  return Math.ceil(capacityBytes / SECTOR_BYTES) * SECTOR_BYTES;
}

/** A pipe of the shell's: Node's own are sockets, which cannot be opened by name. */
const WITH_CONFIGURATION = 'printf %s "$0" | MKE2FS_CONFIG=/dev/stdin exec mke2fs "$@"';

/**
 * Makes the file system as large as the file, which reads as zeros: only of such a file does mke2fs see that there is
 * nothing to write.
 *
 * @throws SbxError `unsupported` without mke2fs, `disk_full`, `internal` with its words
 */
export async function makeVolumeFileSystem(
  file: string,
  options: { label: string; sizeBytes: number; signal?: AbortSignal | undefined },
): Promise<void> {
  const { sizeBytes, signal } = options;
  const flags = [
    ...["-q", "-F", "-t", "ext4", "-b", String(blockBytes(sizeBytes)), "-I", "256", "-m", "0"],
    ...["-i", String(bytesPerInode(sizeBytes)), "-L", options.label.slice(0, 16), "-U", randomUUID()],
    ...["-O", EXT4_FEATURES.join(","), "-E", `hash_seed=${randomUUID()},lazy_journal_init=1,root_owner=0:0`, file],
  ];
  try {
    await runCommand(["sh", "-c", WITH_CONFIGURATION, EXT4_CONFIGURATION, ...flags], { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    if (!(cause instanceof CommandFailure)) throw cause;
    const words = cause.output.split("\n").slice(-4).join(" ");
    if (cause.message.includes("status 127")) {
      throw new SbxError("unsupported", "mke2fs is not installed", { cause, hint: "sudo apt-get install e2fsprogs" });
    }
    if (/No space left/.test(words)) {
      throw new SbxError("disk_full", `there is no room for a file system in ${file}`, { cause, hint: "sbx prune" });
    }
    throw new SbxError("internal", `mke2fs could not make a file system: ${words}`, { cause });
  }
}

/** Small blocks waste less of a small volume. */
function blockBytes(sizeBytes: number): number {
  return sizeBytes < 64 * MiB ? 1024 : 4096;
}

/** The table of inodes is made once: a small volume should not run out of files before it is full. */
function bytesPerInode(sizeBytes: number): number {
  if (sizeBytes < GiB / 2) return 4096;
  return sizeBytes < 4 * GiB ? 8192 : 16384;
}
