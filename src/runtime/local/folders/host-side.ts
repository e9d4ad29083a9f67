/**
 * The host's directory of a copy, looked at and changed one name at a time, without following any link in it: an
 * earlier sync may have brought one that leads elsewhere.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  rmdirSync,
  type Stats,
  unlinkSync,
} from "node:fs";
import { type DirectoryHandle, openChild, openRoot } from "../../copy/directory-handle.ts";
import { errnoOf } from "../../copy/host-errors.ts";
import type { EntryKind } from "../../folders.ts";

export interface HostEntry {
  kind: EntryKind | "other";
  mode: number;
  size: number;
  mtimeMs: number;
  /** sha-256 of a file's content, hex; the text of a link; empty for others. Made when it is asked for. */
  content: () => string;
  /** Changes whenever the entry does: device, inode, size and times. */
  stamp: string;
}

/** Nothing of this name, and nothing in the way of it. */
export const NOTHING = "nothing";
/** Something on the way is no directory. */
export const BLOCKED = "blocked";

const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CHUNK_BYTES = 256 * 1024;

/** @param path relative, one character a byte, checked by entry-path */
export function lookAtHost(root: string, path: string): HostEntry | typeof NOTHING | typeof BLOCKED {
  return inParent(root, path, (parent, name) => {
    const file = parent.child(name);
    let stats: Stats;
    try {
      stats = lstatSync(file);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return NOTHING;
      throw error;
    }
    const { dev, ino, size, mtimeMs, ctimeMs, mode } = stats;
    return {
      kind: kindOf(stats),
      ...{ mode: mode & 0o777, size, mtimeMs: Math.floor(mtimeMs) },
      content: () => contentOf(root, path),
      stamp: `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}`,
    };
  });
}

/** The first bytes of a file, or the text of a link; `null` for anything else. */
export function readFromHost(root: string, path: string, maxBytes: number): Buffer | null {
  const found = inParent(root, path, (parent, name) => {
    const file = parent.child(name);
    if (lstatSync(file).isSymbolicLink()) return readlinkSync(file, { encoding: "buffer" });
    return withFile(file, (fd) => {
      const bytes = Buffer.alloc(Math.min(maxBytes, fstatSync(fd).size));
      return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
    });
  });
  return Buffer.isBuffer(found) ? found : null;
}

/** Removes a file, a link or an empty directory. @throws the system's error */
export function removeFromHost(root: string, path: string): void {
  inParent(root, path, (parent, name) => {
    const file = parent.child(name);
    if (lstatSync(file).isDirectory()) rmdirSync(file);
    else unlinkSync(file);
    return NOTHING;
  });
}

/** Calls `use` with the open directory that holds a path's last name. */
function inParent<R>(
  root: string,
  path: string,
  use: (parent: DirectoryHandle, name: string) => R,
): R | typeof NOTHING | typeof BLOCKED {
  const components = path.split("/");
  const name = components.pop() ?? "";
  using handles = new DisposableStack();
  let parent = handles.use(openRoot(root));
  for (const component of components) {
    try {
      parent = handles.use(openChild(parent, component));
    } catch (error) {
      const code = errnoOf(error);
      if (code === "ENOENT") return NOTHING;
      if (code === "ENOTDIR" || code === "ELOOP") return BLOCKED;
      throw error;
    }
  }
  return use(parent, name);
}

function contentOf(root: string, path: string): string {
  const found = inParent(root, path, (parent, name) => {
    const file = parent.child(name);
    const stats = lstatSync(file);
    if (stats.isSymbolicLink()) return readlinkSync(file, { encoding: "latin1" as BufferEncoding });
    return stats.isFile() ? withFile(file, hashOf) : "";
  });
  return found === NOTHING || found === BLOCKED ? "" : found;
}

function hashOf(fd: number): string {
  const hash = createHash("sha256");
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let bytes = readSync(fd, chunk); bytes > 0; bytes = readSync(fd, chunk)) hash.update(chunk.subarray(0, bytes));
  return hash.digest("hex");
}

function withFile<R>(file: string | Buffer, use: (fd: number) => R): R {
  const fd = openSync(file, READ_FLAGS);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function kindOf(stats: Stats): HostEntry["kind"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  return stats.isSymbolicLink() ? "symlink" : "other";
}
