/**
 * The file that a volume or snapshot is exported to: all of its content, without holes, compressed block by block.
 *
 *     8 bytes   "sbxdisk\n"
 *     u32 LE    length of the header
 *     JSON      the header: DiskFileHeader
 *     blocks    u64 LE offset on the disk, u32 LE length, u32 LE packed length, the packed bytes
 *     end       u64 LE sum of all lengths, u32 LE 0, u32 LE 32, sha-256
 *
 * Offsets rise and blocks do not overlap. A block unpacks (zstd) to exactly its length; one whose packed length is its
 * length is not packed. The hash covers the header and, of each block, offset, length and unpacked bytes. Nothing
 * follows the end.
 *
 * Whoever reads one does not trust it: every number is checked before anything is allocated for it, and no block is
 * larger than {@link MAX_BLOCK_BYTES}, packed or not.
 */
import { z } from "zod";
import { DISK_NAME } from "../../../store/disks/disk-names.ts";
import { SbxError } from "../../errors.ts";
import { MAX_VOLUME_BYTES } from "./volume-file-system.ts";

export const MAGIC = Buffer.from("sbxdisk\n");
export const VERSION = 1;
export const MAX_HEADER_BYTES = 16 * 1024;
export const MAX_BLOCK_BYTES = 1024 ** 2;
export const BLOCK_HEAD_BYTES = 16;
export const HASH_BYTES = 32;
const SECTOR_BYTES = 512;

const size = z.int().min(SECTOR_BYTES).max(MAX_VOLUME_BYTES).multipleOf(SECTOR_BYTES);

const headerSchema = z.strictObject({
  version: z.literal(VERSION),
  kind: z.enum(["volume", "snapshot"]),
  slug: z.string().regex(DISK_NAME),
  /** Of the disk. */
  sizeBytes: size,
  /** Of all blocks, unpacked. */
  contentBytes: z.int().min(0).max(MAX_VOLUME_BYTES),
  /** Image whose kernel boots it; null for one that nothing boots from. */
  imageId: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  createdAt: z.int().min(0),
});

export type DiskFileHeader = z.infer<typeof headerSchema>;

/** A block's head as it is in the file. */
export interface BlockHead {
  offset: number;
  length: number;
  packedLength: number;
}

export function encodeHeader(header: DiskFileHeader): Buffer {
  const json = Buffer.from(JSON.stringify(headerSchema.parse(header)));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return Buffer.concat([MAGIC, length, json]);
}

/** @throws SbxError `disk_file_invalid`, `state_newer` */
export function parseHeader(json: Buffer): DiskFileHeader {
  let value: unknown;
  try {
    value = JSON.parse(json.toString("utf8"));
  } catch (cause) {
    throw invalidFile("its header is no JSON", cause);
  }
  const { version } = (value ?? {}) as { version?: unknown };
  if (typeof version === "number" && Number.isInteger(version) && version > VERSION) {
    throw new SbxError("state_newer", `the file was written by a newer sbx (format ${version})`, {
      hint: "update sbx",
    });
  }
  const parsed = headerSchema.safeParse(value);
  if (!parsed.success) throw invalidFile("its header does not say what it should", parsed.error);
  if (parsed.data.contentBytes > parsed.data.sizeBytes) throw invalidFile("it says that it holds more than its disk");
  return parsed.data;
}

export function encodeBlockHead({ offset, length, packedLength }: BlockHead): Buffer {
  const head = Buffer.alloc(BLOCK_HEAD_BYTES);
  head.writeBigUInt64LE(BigInt(offset));
  head.writeUInt32LE(length, 8);
  head.writeUInt32LE(packedLength, 12);
  return head;
}

/**
 * Reads a block's head.
 *
 * @param from where the block before it ends
 * @throws SbxError `disk_file_invalid`
 */
export function parseBlockHead(head: Buffer, from: number, { sizeBytes }: DiskFileHeader): BlockHead {
  const offset = head.readBigUInt64LE();
  const length = head.readUInt32LE(8);
  const packedLength = head.readUInt32LE(12);
  if (offset > BigInt(sizeBytes)) throw invalidFile("a block lies outside of the disk");
  const block = { offset: Number(offset), length, packedLength };
  if (length === 0) {
    if (packedLength !== HASH_BYTES) throw invalidFile("its end does not hold a hash");
    return block;
  }
  if (length > MAX_BLOCK_BYTES || packedLength > length || packedLength === 0)
    throw invalidFile("a block is too large");
  if (block.offset < from) throw invalidFile("its blocks overlap");
  if (block.offset + length > sizeBytes) throw invalidFile("a block lies outside of the disk");
  return block;
}

/** What of a block the hash covers besides its bytes. */
export function hashedHead({ offset, length }: Pick<BlockHead, "offset" | "length">): Buffer {
  return encodeBlockHead({ offset, length, packedLength: 0 }).subarray(0, 12);
}

export function invalidFile(why: string, cause?: unknown): SbxError {
  return new SbxError("disk_file_invalid", `the file cannot be imported: ${why}`, {
    cause,
    hint: "only files that sbx volume export or sbx snapshot export wrote can be",
  });
}
