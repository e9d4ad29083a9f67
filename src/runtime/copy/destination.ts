/** Where a copy to the host lands, by the rules of `cp -r`. The path is the user's own. */
import { lstatSync, realpathSync, type Stats, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { SbxError } from "../errors.ts";
import { errnoOf, hostFileError } from "./host-errors.ts";

export interface Destination {
  /** As the user wrote it, for messages. */
  shown: string;
  /** An existing directory; nothing is written outside of it. */
  root: string;
  /** Name of the single source in it (one character a byte), or null: each keeps its own. */
  name: string | null;
  /** Whether only a directory may take that name (`name/`). */
  directoryOnly: boolean;
}

/**
 * Decides where sources go.
 *
 * @param hasSeveral whether more than one source may come
 * @throws SbxError `file_error` if the destination cannot take them
 */
export function resolveDestination(path: string, hasSeveral: boolean): Destination {
  if (path === "") throw new SbxError("usage", "the path of the destination is empty");
  const stats = findStats(path);
  if (stats?.isDirectory() === true) return { shown: path, root: path, name: null, directoryOnly: false };
  if (hasSeveral) {
    throw new SbxError("file_error", `'${path}' is not an existing directory, and several files are to go there`, {
      hint: stats === undefined ? `make it first: mkdir -p '${path}'` : "name a directory",
    });
  }
  if (stats === undefined) return newName(path);
  if (!stats.isFile()) throw new SbxError("file_error", `'${path}' is neither a file nor a directory`);
  if (path.endsWith("/")) throw new SbxError("file_error", `'${path}' is not a directory`);
  // A link that the user names is followed, and what it leads to is replaced.
  const real = realpathSync(path);
  return { shown: path, root: dirname(real), name: latin1(basename(real)), directoryOnly: false };
}

function newName(path: string): Destination {
  const stripped = path.replace(/\/+$/, "");
  const root = dirname(stripped);
  if (findStats(root)?.isDirectory() !== true) {
    throw new SbxError("file_error", `no such directory: '${root}'`, { hint: `make it first: mkdir -p '${root}'` });
  }
  if (isLink(stripped)) throw new SbxError("file_error", `'${stripped}' is a symbolic link that leads nowhere`);
  return { shown: path, root, name: latin1(basename(stripped)), directoryOnly: path.endsWith("/") };
}

function findStats(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === "ENOENT") return undefined;
    // `file/` of what is a file.
    if (code === "ENOTDIR") throw new SbxError("file_error", `'${path}' is not a directory`, { cause });
    throw hostFileError("cannot copy to", path, cause);
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    // Nothing has this name yet, which is what the caller hopes for.
    return false;
  }
}

function latin1(name: string): string {
  return Buffer.from(name, "utf8").toString("latin1");
}
