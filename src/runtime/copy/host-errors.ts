/** Failures of the host's file system as errors for a person. */
import { SbxError } from "../errors.ts";
import { showPath } from "./entry-path.ts";

const TEXTS: Record<string, string> = {
  EACCES: "permission denied",
  EPERM: "not permitted",
  ENOENT: "no such file or directory",
  ENOTDIR: "not a directory",
  EISDIR: "is a directory",
  ELOOP: "is a symbolic link",
  EROFS: "the file system is read-only",
  EMFILE: "too many open files",
  EFBIG: "too large for the file system",
  ENAMETOOLONG: "the name is too long",
  EIO: "input/output error",
};

/** The errno name that Node gave an error, if it is one. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : undefined;
}

/** A few words for why something failed, such as "permission denied". */
export function reasonOf(error: unknown): string {
  const code = errnoOf(error);
  if (code === undefined) return error instanceof Error ? error.message : String(error);
  return TEXTS[code] ?? code;
}

/**
 * @param what what was tried, as in "cannot write"
 * @param path as the user knows it, not as the system call named it
 */
export function hostFileError(what: string, path: Buffer | string, cause: unknown): SbxError {
  if (cause instanceof SbxError) return cause;
  const code = errnoOf(cause);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new SbxError("disk_full", `${what} ${showPath(path)}: no space left on the host's disk`, {
      cause,
      hint: "see what takes the room: df -h .",
    });
  }
  return new SbxError("file_error", `${what} ${showPath(path)}: ${reasonOf(cause)}`, { cause });
}
