/** What a failed start is called: a full disk shows in many places, and always needs the same advice. */
import { statfsSync } from "node:fs";
import { SbxError } from "./errors.ts";

/** With less free space than this, a start that failed is put down to the full disk, `bytes`. */
const FULL_DISK_BYTES = 16 * 1024 ** 2;

/** @param directory where the sandbox's files are */
export function explainFailure(error: unknown, directory: string | undefined): unknown {
  if (error instanceof SbxError && error.code !== "vm_start_failed") return error;
  const { code } = error as { code?: unknown };
  const full = code === "ENOSPC" || code === "EDQUOT" || (directory !== undefined && isFull(directory));
  if (!full) return error;
  const where = directory === undefined ? "the disk" : `the disk of ${directory}`;
  return new SbxError("disk_full", `${where} is full`, { cause: error, hint: "sbx prune" });
}

function isFull(directory: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize < FULL_DISK_BYTES;
  } catch {
    return false; // The directory is gone: the error itself has to do.
  }
}
