/**
 * Turns the finished root directory into an ext4 image, without root and without mounting anything: mke2fs copies the
 * directory. The features are named one by one, because a host's mke2fs.conf must not decide what a guest gets.
 */
import { truncate, writeFile } from "node:fs/promises";
import { rootPath } from "./root-system.ts";
import type { Workshop } from "./workshop.ts";

const MIB = 1024 ** 2;
/** Smallest file system, `bytes`. Every sandbox's disk is at least this large. */
const LEAST_BYTES = 1024 * MIB;
/** Room beyond the content; the guest grows the file system to its disk before anyone works on it. `bytes` */
const ROOM_BYTES = 256 * MIB;
/** One block group. */
const STEP_BYTES = 128 * MIB;
const JOURNAL_MIB = 32;
const BYTES_PER_INODE = 16384;
/** In place of the host's mke2fs.conf; mke2fs complains when it does not know the type. */
export const EXT4_CONFIGURATION = "[fs_types]\n\text4 = {\n\t}\n";

/**
 * `resize_inode` keeps room for the block groups of a disk up to a thousand times as large, so growing it in the
 * running guest only adds groups.
 */
export const EXT4_FEATURES: readonly string[] = [
  "none",
  "has_journal",
  "ext_attr",
  "resize_inode",
  "dir_index",
  "filetype",
  "extent",
  "64bit",
  "flex_bg",
  "sparse_super",
  "large_file",
  "huge_file",
  "dir_nlink",
  "extra_isize",
  "metadata_csum",
];

/**
 * Writes the image and returns its size in bytes. The file is sparse: only content takes room on the disk.
 *
 * @param uuid names the file system, and seeds the hashes of its directories
 */
export async function writeFileSystem(
  workshop: Workshop,
  imagePath: string,
  uuid: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const root = rootPath(workshop);
  const output = (await workshop.run(["du", "-s", "-x", "--block-size=1", root], { signal })).toString("utf8");
  const contentBytes = Number(output.split("\t")[0]);
  if (!Number.isSafeInteger(contentBytes)) throw new Error(`du said ${JSON.stringify(output)}`);
  const sizeBytes = fileSystemBytes(contentBytes);
  // Only of a file that is there already does mke2fs see that it reads as zeros. Then it has nothing to write, and the
  // guest's kernel nothing to initialise in the background.
  await writeFile(imagePath, "");
  await truncate(imagePath, sizeBytes);
  const configurationPath = `${workshop.directory}/setup/mke2fs.conf`;
  await workshop.writeFile(configurationPath, EXT4_CONFIGURATION, signal);
  const flags = [
    ...["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", String(BYTES_PER_INODE), "-m", "1", "-L", "root"],
    ...["-U", uuid, "-O", EXT4_FEATURES.join(","), "-J", `size=${JOURNAL_MIB}`],
    ...["-E", `hash_seed=${uuid},lazy_journal_init=1,root_owner=0:0`],
    ...["-d", root, imagePath],
  ];
  await workshop.run(["env", `MKE2FS_CONFIG=${configurationPath}`, "mke2fs", ...flags], { signal });
  return sizeBytes;
}

/** Size for so much content: with room to work, in whole steps, never below the least. */
export function fileSystemBytes(contentBytes: number): number {
  // Metadata and the journal take some 5 % of the content beside it.
  const wanted = Math.ceil(contentBytes * 1.05) + ROOM_BYTES;
  return Math.max(LEAST_BYTES, Math.ceil(wanted / STEP_BYTES) * STEP_BYTES);
}
