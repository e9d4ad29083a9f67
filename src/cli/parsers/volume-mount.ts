/** Names of volumes and snapshots, and `NAME:/path[:ro]`. Input comes from the user. */
import type { VolumeMount } from "../../runtime/types.ts";
import { quoteValue, usageError } from "./usage-error.ts";

const NAME = /^(?!..--)[a-z0-9][a-z0-9-]{0,30}[a-z0-9]$/;
/** A name or an id, or a part of one. */
const REFERENCE = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const MAX_PATH_BYTES = 4096;
const MOUNT = /^([^:]*):(\/.*?)(?::(ro|rw))?$/s;

/** @throws SbxError `usage` */
export function parseDiskName(text: string): string {
  if (NAME.test(text)) return text;
  throw usageError(
    `${quoteValue(text)} cannot be the name of a volume or snapshot`,
    "use 2 to 32 lower-case letters, digits and dashes, no dash at an end, and not -- after the second character",
  );
}

/**
 * What means a volume or snapshot that exists: an id, a name, or the beginning of either.
 *
 * @throws SbxError `usage` for what can be none of these
 */
export function parseDiskRef(text: string): string {
  if (REFERENCE.test(text)) return text;
  throw usageError(`${quoteValue(text)} is neither the id nor the name of a volume or snapshot`, "sbx volume list");
}

/**
 * Reads `NAME:/path`, with `:ro` behind it to read only.
 *
 * @throws SbxError `usage`
 */
export function parseVolumeMount(text: string): VolumeMount {
  const match = MOUNT.exec(text);
  if (match === null) {
    throw usageError(
      `${quoteValue(text)} does not say which volume is to be where`,
      "write it as NAME:/path, or NAME:/path:ro to read only",
    );
  }
  const [, name = "", path = "", access] = match;
  // Somebody meant :ro, or :rw,noexec as of another tool: not a directory with such a name, open for writing.
  if (path.includes(":")) {
    throw usageError(
      `${quoteValue(text)} has something else behind the directory than :ro or :rw`,
      "write it as NAME:/path, or NAME:/path:ro to read only",
    );
  }
  return {
    volume: parseDiskRef(name),
    path: parseGuestDirectory(path),
    access: access === "ro" ? "read-only" : "read-write",
  };
}

/**
 * A directory of the guest that a volume can be: absolute, and without `.` and `..`. Repeated and final slashes go.
 *
 * @throws SbxError `usage`
 */
export function parseGuestDirectory(text: string): string {
  const steps = text.split("/").filter((step) => step !== "");
  const isPath =
    text.startsWith("/") &&
    !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text) &&
    Buffer.byteLength(text) <= MAX_PATH_BYTES;
  if (!isPath || steps.includes(".") || steps.includes("..")) {
    throw usageError(`${quoteValue(text)} cannot be a directory for a volume`, "use an absolute path, such as /data");
  }
  if (steps.length === 0) {
    throw usageError("a volume cannot be the whole machine", "to start from one, use --root");
  }
  return `/${steps.join("/")}`;
}
