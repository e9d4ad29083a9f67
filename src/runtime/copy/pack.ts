/**
 * From host paths to a copy stream. System calls are synchronous: each takes microseconds, a trip through the thread
 * pool takes ten times that, and after every chunk the caller gets its turn. What is on the disk may change meanwhile:
 * a file is sent with the size that it had when it was opened.
 */
import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
} from "node:fs";
import { throwIfAborted } from "../abort.ts";
import { ChunkPool } from "./chunk-pool.ts";
import { type CopyEntry, type EntryType, MAX_LINK_BYTES, MAX_PATH_BYTES, type PackObserver } from "./copy-records.ts";
import { errnoOf, hostFileError, reasonOf } from "./host-errors.ts";
import type { PackSource } from "./pack-sources.ts";
import { RecordEncoder } from "./record-encoder.ts";

export interface PackOptions {
  signal?: AbortSignal | undefined;
  /** Told after each chunk how many bytes of files were taken in all, holes included. */
  onBytes?: (bytes: number) => void;
  /** Where chunks come from, for a consumer that gives them back. */
  pool?: ChunkPool;
  /** Told of everything that is sent. */
  observer?: PackObserver | undefined;
}

export interface PackTotals {
  /** Files and links; directories do not count. */
  files: number;
  bytes: number;
}

/** Links to one file beyond this number of files are sent as files of their own. */
const MAX_LINKED_FILES = 100_000;
/** Bytes of zeros after which the event loop gets a turn although nothing was sent. */
const TURN_BYTES = 64 * 1024 * 1024;
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const SLASH = Buffer.from("/");
const EMPTY = Buffer.alloc(0);

/**
 * Encodes the sources, depth first.
 *
 * @param totals counts what was taken
 * @throws SbxError `file_error` if a file cannot be read although it was opened, `aborted`
 */
export async function* pack(
  sources: readonly PackSource[],
  totals: PackTotals,
  options: PackOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  throwIfAborted(options.signal, "the copy");
  const packer = new Packer(totals, options.pool, options.observer);
  for (const source of sources) {
    for (const step of packer.tree(source)) {
      if (step === "turn") await new Promise(setImmediate);
      throwIfAborted(options.signal, "the copy");
      yield* packer.encoder.take();
      options.onBytes?.(totals.bytes);
    }
  }
  packer.encoder.end();
  yield* packer.encoder.take();
  options.onBytes?.(totals.bytes);
}

/** `chunk`: something is ready to be sent; `turn`: much was read, nothing came of it yet. */
type Step = "chunk" | "turn";

class Packer {
  readonly encoder: RecordEncoder;
  readonly totals: PackTotals;
  readonly #observer: PackObserver | undefined;
  /** First path of each file that has several names, by device and inode. */
  readonly #linked = new Map<string, Buffer>();

  constructor(totals: PackTotals, pool: ChunkPool = new ChunkPool(), observer?: PackObserver) {
    this.encoder = new RecordEncoder(pool);
    this.totals = totals;
    this.#observer = observer;
  }

  *tree(source: PackSource): Generator<Step, void, undefined> {
    let stats: Stats;
    try {
      stats = lstatSync(source.path);
    } catch (error) {
      this.encoder.skipped(source.name, reasonOf(error));
      return;
    }
    yield* this.#node(source.path, source.name, kindOf(stats), stats);
  }

  *#node(path: Buffer, name: Buffer, kind: NodeKind, known?: Stats): Generator<Step, void, undefined> {
    if (name.length > MAX_PATH_BYTES) {
      this.encoder.skipped(name, "the path is too long");
      return;
    }
    switch (kind) {
      case "file":
        yield* this.#file(path, name);
        return;
      case "directory":
        yield* this.#directory(path, name, known);
        return;
      case "symlink":
        this.#symlink(path, name, known);
        return;
      default:
        this.encoder.skipped(name, `a ${kind} cannot be copied`);
    }
  }

  #entry(entry: CopyEntry): void {
    this.encoder.entry(entry);
    this.#observer?.entry(entry);
  }

  *#directory(path: Buffer, name: Buffer, known?: Stats): Generator<Step, void, undefined> {
    let children: Dirent<Buffer>[];
    try {
      this.#entry(entryOf("directory", name, known ?? lstatSync(path)));
      children = readdirSync(path, { withFileTypes: true, encoding: "buffer" });
    } catch (error) {
      this.encoder.skipped(name, reasonOf(error));
      return;
    }
    for (const child of children) {
      yield* this.#node(joinPath(path, child.name), joinPath(name, child.name), kindOf(child));
      if (this.encoder.hasChunk) yield "chunk";
    }
  }

  #symlink(path: Buffer, name: Buffer, known?: Stats): void {
    try {
      const link = readlinkSync(path, { encoding: "buffer" });
      if (link.length > MAX_LINK_BYTES) throw new Error("the link is too long");
      this.#entry(entryOf("symlink", name, known ?? lstatSync(path), link));
      this.totals.files += 1;
    } catch (error) {
      this.encoder.skipped(name, reasonOf(error));
    }
  }

  *#file(path: Buffer, name: Buffer): Generator<Step, void, undefined> {
    let fd: number;
    try {
      fd = openSync(path, OPEN_FLAGS);
    } catch (error) {
      this.encoder.skipped(name, errnoOf(error) === "ELOOP" ? "it has just become a symbolic link" : reasonOf(error));
      return;
    }
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile()) {
        this.encoder.skipped(name, `a ${kindOf(stats)} cannot be copied`);
        return;
      }
      this.totals.files += 1;
      if (this.#sendAsLink(stats, name)) return;
      this.#entry(entryOf("file", name, stats));
      yield* this.#content(fd, stats.size, path);
      this.encoder.endOfFile();
    } finally {
      closeSync(fd);
    }
  }

  *#content(fd: number, size: number, path: Buffer): Generator<Step, void, undefined> {
    let position = 0;
    let silentBytes = 0;
    while (position < size) {
      const room = this.encoder.reserveData(size - position);
      const bytes = readUpTo(fd, room, path);
      if (bytes === 0) {
        // The file has shrunk since it was opened: the rest of its size is zeros.
        this.encoder.hole(size - position);
        this.#observer?.cut();
        this.totals.bytes += size - position;
        return;
      }
      this.#observer?.data(bytes === room.length ? room : room.subarray(0, bytes));
      this.encoder.commitData(room, bytes);
      position += bytes;
      this.totals.bytes += bytes;
      silentBytes += bytes;
      if (this.encoder.hasChunk) {
        yield "chunk";
        silentBytes = 0;
      } else if (silentBytes >= TURN_BYTES) {
        yield "turn";
        silentBytes = 0;
      }
    }
  }

  /** A file that was sent under another name already goes as a link to that. */
  #sendAsLink(stats: Stats, name: Buffer): boolean {
    if (stats.nlink < 2) return false;
    const key = `${stats.dev}:${stats.ino}`;
    const first = this.#linked.get(key);
    if (first !== undefined) {
      this.#entry(entryOf("hardLink", name, stats, first));
      return true;
    }
    if (this.#linked.size < MAX_LINKED_FILES) this.#linked.set(key, name);
    return false;
  }
}

type NodeKind = "file" | "directory" | "symlink" | "socket" | "device" | "FIFO";

function kindOf(node: Stats | Dirent<Buffer>): NodeKind {
  if (node.isFile()) return "file";
  if (node.isDirectory()) return "directory";
  if (node.isSymbolicLink()) return "symlink";
  if (node.isSocket()) return "socket";
  return node.isFIFO() ? "FIFO" : "device";
}

function entryOf(type: EntryType, path: Buffer, stats: Stats, link: Buffer = EMPTY): CopyEntry {
  const size = type === "file" ? stats.size : 0;
  return { type, mode: stats.mode & 0o7777, mtimeMs: stats.mtimeMs, size, path, link };
}

function joinPath(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, SLASH, name]);
}

/** Reads until the room is full or the file is at its end. */
function readUpTo(fd: number, room: Buffer, path: Buffer): number {
  let bytes = 0;
  while (bytes < room.length) {
    let count: number;
    try {
      count = readSync(fd, room, bytes, room.length - bytes, null);
    } catch (cause) {
      throw hostFileError("cannot read", path, cause);
    }
    if (count === 0) break;
    bytes += count;
  }
  return bytes;
}
