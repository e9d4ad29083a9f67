/**
 * Copies with a sandbox whose server has the published calls alone: what the guest would have sent as one stream is put
 * together from single calls, and what it would have received is taken apart into them. Either way the other end of the
 * copy is the same as ever, with all of its checks. It is slower, knows no other account and no patterns.
 */
import { posix } from "node:path";
import type { FileInfo } from "../../protocol/rpc-methods-fs.ts";
import { throwIfAborted } from "../abort.ts";
import { MAX_PATH_BYTES, type CopyEntry } from "../copy/copy-records.ts";
import { RecordEncoder } from "../copy/record-encoder.ts";
import { SbxError } from "../errors.ts";
import type { CopyOptions } from "../runtime.ts";
import type { GuestSources } from "./copy-ends.ts";
import type { RpcClient } from "./rpc-client.ts";

/** What one message carries, and a file that is read whole, `bytes`. */
const CHUNK_BYTES = 512 * 1024;
/** Entries of a directory that are asked for side by side. */
const ENTRIES_AT_ONCE = 16;
/** A tree that is deeper has no end. */
const MAX_DEPTH = 256;

/** @throws SbxError `unsupported` for what the published calls have no words for */
export function needPublishedCopy({ globs }: { globs: boolean }, { user }: CopyOptions): void {
  if (user !== undefined) throw unsupported("copies as another user", "leave --user out");
  if (globs) throw unsupported("patterns for what to copy", "name the files and directories");
}

function unsupported(what: string, hint: string): SbxError {
  return new SbxError("unsupported", `this sandbox's server has no ${what}`, { hint });
}

/** The copy stream that the guest does not send by itself. */
export async function* sendPublished(
  client: RpcClient,
  { paths }: GuestSources,
  { signal }: CopyOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const sender = new Sender(client, signal);
  for (const path of paths) {
    const isPlace = path.endsWith("/") || posix.basename(path) === "." || posix.basename(path) === "..";
    const place = isPlace ? await client.call("realPath", { path }, { signal }) : path;
    yield* sender.tree(place, posix.basename(place) === "" ? "root" : posix.basename(place), 0);
  }
  yield* sender.end();
}

/** An entry with all that its record needs. */
interface Found {
  path: string;
  name: string;
  info: FileInfo;
  /** Of a symbolic link. */
  link: string;
  /** Of a small file. */
  content: Buffer | undefined;
}

class Sender {
  readonly #client: RpcClient;
  readonly #signal: AbortSignal | undefined;
  readonly #encoder = new RecordEncoder();

  constructor(client: RpcClient, signal: AbortSignal | undefined) {
    this.#client = client;
    this.#signal = signal;
  }

  /** @param name of the entry in the stream, with the directories above it */
  async *tree(path: string, name: string, depth: number): AsyncGenerator<Buffer, void, undefined> {
    yield* this.#found(await this.#look(path, name), depth);
  }

  *end(): Generator<Buffer, void, undefined> {
    this.#encoder.end();
    yield* this.#encoder.take();
  }

  async *#found(found: Found, depth: number): AsyncGenerator<Buffer, void, undefined> {
    throwIfAborted(this.#signal, "the copy");
    const { info, name, link } = found;
    if (Buffer.byteLength(name) > MAX_PATH_BYTES || depth > MAX_DEPTH) {
      this.#encoder.skipped(Buffer.from(name), "its path is too long");
    } else if (info.isSymlink) {
      this.#encoder.entry(entryOf(found, "symlink", 0, link));
    } else if (info.isDirectory) {
      this.#encoder.entry(entryOf(found, "directory", 0));
      yield* this.#children(found, depth);
    } else if (info.isFile) {
      yield* this.#file(found);
    } else {
      this.#encoder.skipped(Buffer.from(name), "it is neither a file nor a directory nor a symbolic link");
    }
    yield* this.#encoder.take();
  }

  async *#children({ path, name }: Found, depth: number): AsyncGenerator<Buffer, void, undefined> {
    const entries = await this.#client.call("readDir", { path }, { signal: this.#signal });
    const names = entries.map((entry) => entry.name).sort();
    for (let at = 0; at < names.length; at += ENTRIES_AT_ONCE) {
      const some = names.slice(at, at + ENTRIES_AT_ONCE);
      const found = await Promise.all(
        some.map(async (child) => this.#look(`${path.replace(/\/$/, "")}/${child}`, `${name}/${child}`)),
      );
      for (const one of found) yield* this.#found(one, depth + 1);
    }
  }

  async #look(path: string, name: string): Promise<Found> {
    const call = { signal: this.#signal };
    const info = await this.#client.call("lstat", { path }, call);
    const link = info.isSymlink ? await this.#client.call("readLink", { path }, call) : "";
    const isSmall = info.isFile && info.size <= CHUNK_BYTES;
    const content = isSmall
      ? Buffer.from(await this.#client.call("readFile", { path }, call), "base64").subarray(0, CHUNK_BYTES)
      : undefined;
    return { path, name, info, link, content };
  }

  async *#file(found: Found): AsyncGenerator<Buffer, void, undefined> {
    const { content, info, path } = found;
    const size = content?.length ?? info.size;
    this.#encoder.entry(entryOf(found, "file", size));
    if (content === undefined) yield* this.#largeFile(path, size);
    else this.#data(content);
    this.#encoder.endOfFile();
  }

  /** As many bytes as were promised: one that grows meanwhile is cut, one that shrinks ends in zeros. */
  async *#largeFile(path: string, size: number): AsyncGenerator<Buffer, void, undefined> {
    const call = { signal: this.#signal };
    const { fileHandleId } = await this.#client.call("open", { path, options: { read: true } }, call);
    try {
      for (let left = size; left > 0;) {
        const length = Math.min(left, CHUNK_BYTES);
        const { data } = await this.#client.call("fileRead", { fileHandleId, length }, call);
        const bytes = data === null ? Buffer.alloc(0) : Buffer.from(data, "base64").subarray(0, length);
        if (bytes.length === 0) this.#encoder.hole(left);
        else this.#data(bytes);
        left -= bytes.length === 0 ? left : bytes.length;
        yield* this.#encoder.take();
      }
    } finally {
      await this.#client.call("fileClose", { fileHandleId }).catch(() => undefined);
    }
  }

  #data(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const room = this.#encoder.reserveData(bytes.length - at);
      const taken = bytes.copy(room, 0, at);
      this.#encoder.commitData(room, taken);
      at += taken;
    }
  }
}

function entryOf({ name, info }: Found, type: CopyEntry["type"], size: number, link = ""): CopyEntry {
  return {
    ...{ type, size, mode: info.mode & 0o7777, mtimeMs: Date.parse(info.mtime) },
    ...{ path: Buffer.from(name), link: Buffer.from(link) },
  };
}
