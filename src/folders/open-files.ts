/** Files and directories that the guest has open, by the handles that its kernel was given. Their number is bounded. */
import { type BigIntStats, closeSync, fstatSync } from "node:fs";
import { FuseError } from "./fuse-error.ts";
import type { Identity, Node } from "./node-table.ts";
import { takenBy, type WriteQuota } from "./write-quota.ts";

export interface OpenFile {
  readonly node: Node;
  readonly fd: number;
  readonly writable: boolean;
  readonly readable: boolean;
}

/** A directory as it was when it was last read from its beginning: what is read in pieces must be one whole. */
export interface OpenDirectory {
  readonly node: Node;
  names: string[] | undefined;
}

/** What one sandbox holds open, over all its folders: handles and names in listings, both bounded, and which inodes. */
export class HandleBudget {
  #handles: number;
  #names: number;
  readonly #inodes = new Map<Identity, number>();

  constructor({ handles = 2048, names = 1_000_000 } = {}) {
    this.#handles = handles;
    this.#names = names;
  }

  /** @throws FuseError ENFILE */
  takeHandle(): void {
    if (this.#handles === 0) throw new FuseError("ENFILE");
    this.#handles -= 1;
  }

  giveHandle(): void {
    this.#handles += 1;
  }

  /** Whether an inode is open in any folder: without a name it still takes its room on the disk. */
  isOpen(identity: Identity): boolean {
    return this.#inodes.has(identity);
  }

  opened(identity: Identity): void {
    this.#inodes.set(identity, (this.#inodes.get(identity) ?? 0) + 1);
  }

  closed(identity: Identity): void {
    const others = (this.#inodes.get(identity) ?? 1) - 1;
    if (others === 0) this.#inodes.delete(identity);
    else this.#inodes.set(identity, others);
  }

  /** Names that a listing may still hold. */
  get freeNames(): number {
    return this.#names;
  }

  takeNames(count: number): void {
    this.#names -= count;
  }

  giveNames(count: number): void {
    this.#names += count;
  }
}

export class OpenFiles implements Disposable {
  readonly #budget: HandleBudget;
  readonly #quota: WriteQuota;
  readonly #files = new Map<number, OpenFile>();
  readonly #directories = new Map<number, OpenDirectory>();
  readonly #byNode = new Map<Node, Set<OpenFile>>();
  /** What each open file took on the disk when that was last looked at, `bytes`. */
  readonly #taken = new Map<Node, number>();
  #next = 1;

  constructor(budget: HandleBudget, quota: WriteQuota) {
    this.#budget = budget;
    this.#quota = quota;
  }

  /**
   * Opens a file by `open`, which gives a descriptor, and takes that over.
   *
   * @throws FuseError ENFILE; what `open` throws
   */
  add(node: Node, access: { writable: boolean; readable: boolean }, open: () => number): number {
    this.#budget.takeHandle();
    let fd: number;
    try {
      fd = open();
    } catch (error) {
      this.#budget.giveHandle();
      throw error;
    }
    const file = { node, fd, ...access };
    const handle = this.#next++;
    this.#files.set(handle, file);
    this.#budget.opened(node.identity);
    const others = this.#byNode.get(node);
    if (others === undefined) {
      this.#byNode.set(node, new Set([file]));
      this.#taken.set(node, takenBy(fstatSync(fd, { bigint: true })));
    } else others.add(file);
    return handle;
  }

  /** @throws FuseError EBADF */
  get(handle: number): OpenFile {
    const file = this.#files.get(handle);
    if (file === undefined) throw new FuseError("EBADF");
    return file;
  }

  /** One of the files that are open on a node: it can be reached although its name is gone. */
  anyOf(node: Node): OpenFile | undefined {
    const [file] = this.#byNode.get(node) ?? [];
    return file;
  }

  /** Counts what a change of an open file took or gave back. */
  settle({ node, fd }: OpenFile, stats: BigIntStats = fstatSync(fd, { bigint: true })): void {
    const now = takenBy(stats);
    this.#quota.addBytes(now - (this.#taken.get(node) ?? now));
    this.#taken.set(node, now);
  }

  /** Closes a file. A handle that is not there is none of our concern. */
  release(handle: number): void {
    const file = this.#files.get(handle);
    if (file === undefined) return;
    this.#files.delete(handle);
    this.#budget.giveHandle();
    this.#budget.closed(file.node.identity);
    const others = this.#byNode.get(file.node);
    others?.delete(file);
    if (others === undefined || others.size === 0) {
      this.#byNode.delete(file.node);
      this.#settleLast(file);
    }
    closeSync(file.fd);
  }

  addDirectory(node: Node): number {
    this.#budget.takeHandle();
    const handle = this.#next++;
    this.#directories.set(handle, { node, names: undefined });
    return handle;
  }

  /** @throws FuseError EBADF */
  getDirectory(handle: number): OpenDirectory {
    const directory = this.#directories.get(handle);
    if (directory === undefined) throw new FuseError("EBADF");
    return directory;
  }

  /** Keeps a listing made by `list`, which is told how many names it may hold. */
  fill(directory: OpenDirectory, list: (limit: number) => string[]): string[] {
    this.#budget.giveNames(directory.names?.length ?? 0);
    directory.names = undefined;
    directory.names = list(this.#budget.freeNames);
    this.#budget.takeNames(directory.names.length);
    return directory.names;
  }

  releaseDirectory(handle: number): void {
    const directory = this.#directories.get(handle);
    if (directory === undefined) return;
    this.#directories.delete(handle);
    this.#budget.giveHandle();
    this.#budget.giveNames(directory.names?.length ?? 0);
  }

  [Symbol.dispose](): void {
    for (const handle of [...this.#files.keys()]) this.release(handle);
    for (const handle of [...this.#directories.keys()]) this.releaseDirectory(handle);
  }

  /** The last look at a file: one without a name gives its room back only now. */
  #settleLast(file: OpenFile): void {
    const stats = fstatSync(file.fd, { bigint: true });
    if (file.writable) this.settle(file, stats);
    if (stats.nlink === 0n && !this.#budget.isOpen(file.node.identity)) this.#quota.addBytes(-takenBy(stats));
    this.#taken.delete(file.node);
  }
}
