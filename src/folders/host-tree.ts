/**
 * The host's side of a folder: how a node becomes something that a system call can be made on, and nothing outside of
 * the folder ever does.
 *
 * - A directory is reached from an open one, one name at a time, with O_NOFOLLOW. Node has no openat; on Linux
 *   `/proc/self/fd/<n>/<name>` is the same.
 * - What was reached must be the inode that the node stands for. Anything else, a link that was put in its place
 *   included, is ESTALE, on which the guest's kernel looks the path up anew.
 * - An open directory that somebody moved out of the folder is given up: its path is asked for at each use.
 * - The last step never follows a link either: calls that would (chmod, open) go through a descriptor that was opened
 *   with O_PATH and O_NOFOLLOW and looked at.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  statSync,
} from "node:fs";
import { codeOf, FuseError } from "./fuse-error.ts";
import { type Identity, type Node, wayTo } from "./node-table.ts";

/** Linux's O_PATH, which Node does not name; the same on x64 and arm64. */
const O_PATH = 0o10000000;
const DIRECTORY_FLAGS = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Directories that stay open from one request to the next. */
const MAX_OPEN_DIRECTORIES = 128;

/** A path for a system call that does not follow a link at its end. */
export type HostPath = string | Buffer;

export class HostTree implements Disposable {
  readonly rootIdentity: Identity;
  readonly #rootFd: number;
  /** Directories that are not shared, wherever they are met. */
  readonly #forbidden: ReadonlySet<Identity>;
  /** Open directories, the one that was used last at the end. */
  readonly #open = new Map<Node, number>();
  /** Open ones that are of no further use; a path of the request under way may still name one. */
  readonly #retired: number[] = [];

  /**
   * @param path of a directory, absolute and without links: it was checked, and somebody may have put one in its place since
   * @throws the system's error; FuseError ELOOP where the directory is not at this path
   */
  constructor(path: string, forbidden: ReadonlySet<Identity> = new Set()) {
    this.#rootFd = openRoot(path);
    this.rootIdentity = identityOf(fstatSync(this.#rootFd, { bigint: true }));
    this.#forbidden = forbidden;
  }

  /** The path of a directory node, good until {@link tidy}. @throws FuseError ESTALE, EACCES */
  directory(node: Node): string {
    if (node.parent === null) return procPath(this.#rootFd);
    const root = readlinkSync(procPath(this.#rootFd));
    const way = wayTo(node);
    let start = way.length;
    let fd = this.#rootFd;
    // The nearest one on the way that is still open and still inside.
    for (; start > 0; start--) {
      const open = this.#reuse(way[start - 1], root);
      if (open === undefined) continue;
      fd = open;
      break;
    }
    for (const next of way.slice(start)) fd = this.#enter(fd, next);
    return procPath(fd);
  }

  /** The path of a name in a directory. */
  child(directory: Node, name: string): HostPath {
    return join(this.directory(directory), name);
  }

  /** What a name in a directory stands for; links are links. @throws the system's error; FuseError EACCES */
  look(directory: Node, name: string): BigIntStats {
    const stats = lstatSync(this.child(directory, name), { bigint: true });
    if (stats.isDirectory() && this.#forbidden.has(identityOf(stats))) throw new FuseError("EACCES");
    return stats;
  }

  /** The attributes of a node. @throws FuseError ESTALE */
  stat(node: Node): BigIntStats {
    if (node.isDirectory) return statSync(this.directory(node), { bigint: true });
    return mustBe(
      node,
      staleIfGone(() => this.look(parentOf(node), node.name)),
    );
  }

  /** Path of a node that is no directory, after it was made sure that it is there. @throws FuseError ESTALE */
  place(node: Node): HostPath {
    this.stat(node);
    return node.isDirectory ? this.directory(node) : this.child(parentOf(node), node.name);
  }

  /**
   * Calls `use` with a path that stands for the node's own inode and nothing else, whatever happens to its name
   * meanwhile. Unlike other paths it may be given to calls that follow links.
   *
   * @throws FuseError ESTALE; what `use` throws
   */
  pinned<R>(node: Node, use: (path: string, stats: BigIntStats) => R): R {
    if (node.isDirectory) {
      const path = this.directory(node);
      return use(path, statSync(path, { bigint: true }));
    }
    const path = this.child(parentOf(node), node.name);
    const fd = staleIfGone(() => openSync(path, O_PATH | constants.O_NOFOLLOW));
    try {
      return use(procPath(fd), mustBe(node, fstatSync(fd, { bigint: true })));
    } finally {
      closeSync(fd);
    }
  }

  /**
   * Closes what is open beyond the bound. Between requests only: paths of a request under way must stay what they are.
   */
  tidy(): void {
    for (const fd of this.#retired.splice(0)) closeSync(fd);
    for (const [oldest, fd] of this.#open) {
      if (this.#open.size <= MAX_OPEN_DIRECTORIES) return;
      this.#open.delete(oldest);
      closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    for (const fd of [...this.#retired.splice(0), ...this.#open.values()]) closeSync(fd);
    this.#open.clear();
    closeSync(this.#rootFd);
  }

  #reuse(node: Node | undefined, root: string): number | undefined {
    if (node === undefined) return undefined;
    const fd = this.#open.get(node);
    if (fd === undefined) return undefined;
    this.#open.delete(node);
    if (isInside(fd, root) && this.#nodeIsInTable(node)) {
      this.#open.set(node, fd);
      return fd;
    }
    this.#retired.push(fd);
    return undefined;
  }

  #enter(parent: number, node: Node): number {
    const fd = staleIfGone(() => openSync(join(procPath(parent), node.name), DIRECTORY_FLAGS));
    try {
      const stats = mustBe(node, fstatSync(fd, { bigint: true }));
      if (this.#forbidden.has(identityOf(stats))) throw new FuseError("EACCES");
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.#open.set(node, fd);
    return fd;
  }

  /** A node that was forgotten has no children and no lookups; its descriptor is of no further use. */
  #nodeIsInTable(node: Node): boolean {
    return node.lookups > 0 || node.children > 0;
  }
}

/** With its time of birth: the number of a file that was removed is soon that of another. */
export function identityOf({ dev, ino, birthtimeNs }: BigIntStats): Identity {
  return `${dev}:${ino}:${birthtimeNs}`;
}

/** The identity of a directory that must not be shared; undefined if it is not there. */
export function findIdentity(path: string): Identity | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? undefined : identityOf(stats);
}

function parentOf(node: Node): Node {
  if (node.parent === null) throw new FuseError("EISDIR");
  return node.parent;
}

function mustBe(node: Node, stats: BigIntStats): BigIntStats {
  if (identityOf(stats) !== node.identity) throw new FuseError("ESTALE");
  return stats;
}

/** The name of something that is known leads elsewhere: what was known of it is old. */
function staleIfGone<R>(call: () => R): R {
  try {
    return call();
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") throw new FuseError("ESTALE");
    throw error;
  }
}

/** What was opened must be what the path says, whatever it led over. */
function openRoot(path: string): number {
  const fd = openSync(path, O_PATH | constants.O_DIRECTORY);
  if (readlinkSync(procPath(fd)) === path) return fd;
  closeSync(fd);
  throw new FuseError("ELOOP");
}

/** Whether an open directory is below the root. Of one whose path is too long to be told nobody knows. */
function isInside(fd: number, root: string): boolean {
  try {
    return readlinkSync(procPath(fd)).startsWith(root === "/" ? root : `${root}/`);
  } catch (error) {
    if (codeOf(error) === "ENAMETOOLONG") return false;
    throw error;
  }
}

function procPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** A string where that is the same bytes, which is quicker, else a buffer. */
function join(directory: string, name: string): HostPath {
  // Above 0x7f a latin1 character and its UTF-8 form differ.
  if (/^[\x00-\x7f]*$/.test(name)) return `${directory}/${name}`;
  return Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name, "latin1")]);
}
