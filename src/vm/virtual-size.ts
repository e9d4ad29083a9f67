/** How large the disk is that a layer's file stands for. */
import type { FileHandle } from "node:fs/promises";
import type { DiskLayer } from "./machine-spec.ts";

/** `QFI` and 0xfb, and where the size is (QEMU's docs/interop/qcow2). */
const QCOW2_MAGIC = 0x514649fb;
const SIZE_OFFSET = 24;
const HEADER_BYTES = SIZE_OFFSET + 8;

/** `null` for what is not of its format; QEMU says then what is wrong with it. */
export async function virtualBytes(file: FileHandle, format: DiskLayer["format"]): Promise<number | null> {
  if (format === "raw") return (await file.stat()).size;
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
  if (bytesRead < HEADER_BYTES || buffer.readUInt32BE(0) !== QCOW2_MAGIC) return null;
  return Number(buffer.readBigUInt64BE(SIZE_OFFSET));
}
