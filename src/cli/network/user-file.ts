/** Files that the user names with an option. */
import { readFileSync, statSync } from "node:fs";
import { SbxError } from "../../runtime/errors.ts";
import { quoteValue, usageError } from "../parsers/usage-error.ts";

/** @throws SbxError `usage` for one that cannot be read, is no file, or is too large */
export function readUserFile(path: string, { option, maxBytes }: { option: string; maxBytes: number }): string {
  checkUserFile(path, option);
  try {
    if (statSync(path).size > maxBytes) {
      throw usageError(`${option} ${quoteValue(path)} is larger than ${maxBytes / 1024} KiB`);
    }
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof SbxError) throw error;
    throw unreadable(path, option, error);
  }
}

/** @throws SbxError `usage` for what is no file */
export function checkUserFile(path: string, option: string): void {
  let isDirectory: boolean;
  try {
    isDirectory = statSync(path).isDirectory();
  } catch (error) {
    throw unreadable(path, option, error);
  }
  if (isDirectory) throw usageError(`${option} ${quoteValue(path)} is a directory`);
}

function unreadable(path: string, option: string, cause: unknown): SbxError {
  const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
  const why = missing ? "does not exist" : "cannot be read";
  return new SbxError("usage", `${option} ${quoteValue(path)} ${why}`, missing ? {} : { cause });
}
