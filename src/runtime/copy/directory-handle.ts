/**
 * A directory below the destination of a copy, held open so that its entries are reached without walking a path
 * again: whatever is put in the place of a parent meanwhile, what is written stays inside. Node has no openat; on
 * Linux `/proc/self/fd/<n>/<name>` is the same. Elsewhere the path itself has to do, checked when it was opened.
 */
import { closeSync, constants, existsSync, lstatSync, openSync, statSync } from "node:fs";
import { fsPath } from "./entry-path.ts";

export interface DirectoryHandle extends Disposable {
  /** The directory itself, for chmod and utimes. */
  readonly self: string | Buffer;
  /** An entry of the directory, for a system call that does not follow links at the end of a path. */
  child(component: string): string | Buffer;
}

/** Linux's O_PATH, which Node does not name: needs no right to read the directory. The same on x64 and arm64. */
const O_PATH = 0o10000000;

const hasProcFd = process.platform === "linux" && existsSync("/proc/self/fd");

/**
 * Opens a directory that the user named; links on the way to it count.
 *
 * @throws the system's error (ENOENT, ENOTDIR, EACCES)
 */
export function openRoot(path: string): DirectoryHandle {
  if (hasProcFd) return new ProcHandle(openSync(path, O_PATH | constants.O_DIRECTORY));
  if (!statSync(path).isDirectory()) throw Object.assign(new Error("not a directory"), { code: "ENOTDIR" });
  return new PathHandle(Buffer.from(path).toString("latin1"));
}

/**
 * Opens a directory in another one. A symbolic link is never followed, wherever it leads.
 *
 * @throws the system's error; ENOTDIR for a link or anything else that is no directory
 */
export function openChild(parent: DirectoryHandle, component: string): DirectoryHandle {
  const path = parent.child(component);
  if (hasProcFd) return new ProcHandle(openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW));
  if (!lstatSync(path).isDirectory()) throw Object.assign(new Error("not a directory"), { code: "ENOTDIR" });
  return new PathHandle(Buffer.from(path).toString("latin1"));
}

class ProcHandle implements DirectoryHandle {
  readonly self: string;
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
    this.self = `/proc/self/fd/${fd}`;
  }

  child(component: string): string | Buffer {
    return fsPath(this.self, component);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

class PathHandle implements DirectoryHandle {
  readonly self: Buffer;
  readonly #latin1: string;

  constructor(latin1: string) {
    this.#latin1 = latin1;
    this.self = Buffer.from(latin1, "latin1");
  }

  child(component: string): Buffer {
    return Buffer.from(`${this.#latin1}/${component}`, "latin1");
  }

  [Symbol.dispose](): void {
    // Nothing is held open.
  }
}
