/**
 * An empty qcow2 file (QEMU's docs/interop/qcow2.txt, version 3) over another disk. Written here and not by qemu-img,
 * because the start of a process is most of what a snapshot would take.
 *
 *     cluster 0   header, name of the backing format, name of the backing file
 *     cluster 1   refcount table: one entry
 *     cluster 2   refcount block: one for each cluster here
 *     cluster 3…  L1 table, all zeros: every cluster of the disk is the backing file's
 */

const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 1 << CLUSTER_BITS;
/** What one L1 entry covers: a cluster full of 8-byte entries, each for a cluster. */
const L1_COVERS_BYTES = (CLUSTER_BYTES / 8) * CLUSTER_BYTES;
const HEADER_BYTES = 104;
const BACKING_FORMAT_EXTENSION = 0xe2792aca;
const FIRST_L1_CLUSTER = 3;
/** A refcount block of 16-bit entries. */
const MAX_CLUSTERS = CLUSTER_BYTES / 2;

/** QEMU is always told the whole chain; the name is only a note for people. */
const BACKING_NAME = "below";

export const QCOW2_MAGIC = 0x514649fb;

export interface EmptyQcow2 {
  /** The beginning of the file. */
  head: Buffer;
  /** Length of the file; all after `head` is zeros. */
  fileBytes: number;
}

/**
 * @param sizeBytes of the disk: whole sectors
 * @throws RangeError for more than such a file can hold
 */
export function emptyQcow2(sizeBytes: number, backingFormat: "raw" | "qcow2"): EmptyQcow2 {
  const l1Entries = Math.ceil(sizeBytes / L1_COVERS_BYTES);
  const clusters = FIRST_L1_CLUSTER + Math.ceil((l1Entries * 8) / CLUSTER_BYTES);
  if (sizeBytes % 512 !== 0 || sizeBytes <= 0 || clusters > MAX_CLUSTERS) {
    throw new RangeError(`no qcow2 file of ${sizeBytes} bytes`);
  }
  const head = Buffer.alloc(FIRST_L1_CLUSTER * CLUSTER_BYTES);
  const name = Buffer.from(BACKING_NAME);
  const nameOffset = writeBackingFormat(head, backingFormat);
  name.copy(head, nameOffset);
  head.writeUInt32BE(QCOW2_MAGIC, 0);
  head.writeUInt32BE(3, 4); // version
  head.writeBigUInt64BE(BigInt(nameOffset), 8);
  head.writeUInt32BE(name.length, 16);
  head.writeUInt32BE(CLUSTER_BITS, 20);
  head.writeBigUInt64BE(BigInt(sizeBytes), 24);
  head.writeUInt32BE(l1Entries, 36);
  head.writeBigUInt64BE(BigInt(FIRST_L1_CLUSTER * CLUSTER_BYTES), 40);
  head.writeBigUInt64BE(BigInt(CLUSTER_BYTES), 48); // refcount table
  head.writeUInt32BE(1, 56); // its clusters
  head.writeUInt32BE(4, 96); // refcounts of 16 bits
  head.writeUInt32BE(HEADER_BYTES, 100);
  head.writeBigUInt64BE(BigInt(2 * CLUSTER_BYTES), CLUSTER_BYTES);
  for (let index = 0; index < clusters; index++) head.writeUInt16BE(1, 2 * CLUSTER_BYTES + 2 * index);
  return { head, fileBytes: clusters * CLUSTER_BYTES };
}

/** Writes the header's extensions, and returns where they end. */
function writeBackingFormat(head: Buffer, format: string): number {
  head.writeUInt32BE(BACKING_FORMAT_EXTENSION, HEADER_BYTES);
  head.writeUInt32BE(format.length, HEADER_BYTES + 4);
  head.write(format, HEADER_BYTES + 8, "latin1");
  // Padded to 8 bytes; then the extension that ends them, which is zeros.
  return HEADER_BYTES + 8 + 8 + 8;
}

/** What the header of a qcow2 file says of the disk's size; `null` for a file that is none of ours. */
export function qcow2DiskBytes(header: Buffer): number | null {
  if (header.length < HEADER_BYTES || header.readUInt32BE(0) !== QCOW2_MAGIC || header.readUInt32BE(4) !== 3)
    return null;
  const size = header.readBigUInt64BE(24);
  return size > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(size);
}
