/** What a failed system call on a disk's files means to the user. */
import { SbxError } from "../../errors.ts";

export function explainDiskError(error: unknown, place: string): unknown {
  if (error instanceof SbxError) return error;
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return new SbxError("disk_full", `there is no room in ${place}`, { cause: error, hint: "sbx prune" });
    case "EFBIG":
      return new SbxError("disk_full", `files in ${place} may not become that large`, {
        cause: error,
        hint: "ulimit -f says how large, or the file system sets the limit",
      });
    default:
      return error;
  }
}
