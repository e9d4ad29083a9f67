/** Single files of a guest over the RPC of its sandbox: the published calls, so every server has them. */
import type { GuestEntry, GuestEntryKind, GuestFiles, GuestStat, ReadOptions, WriteOptions } from "../files.ts";
import type { CallOptions } from "../types.ts";
import { guestError } from "./guest-errors.ts";
import type { RpcClient } from "./rpc-client.ts";

/** What one message carries. The agent reads and writes as much at a time. */
const CHUNK_BYTES = 512 * 1024;

interface Kinds {
  isFile: boolean;
  isDirectory: boolean;
  isSymlink: boolean;
}

export class RpcGuestFiles implements GuestFiles {
  readonly #client: RpcClient;

  constructor(client: RpcClient) {
    this.#client = client;
  }

  async read(path: string, options: ReadOptions = {}): Promise<Uint8Array> {
    const { offset = 0, maxBytes = Number.POSITIVE_INFINITY, signal } = options;
    return this.#withFile(path, { read: true }, `reading '${path}'`, signal, async (fileHandleId) => {
      if (offset > 0) await this.#client.call("fileSeek", { fileHandleId, offset, whence: 0 }, { signal });
      const chunks: Uint8Array[] = [];
      for (let left = maxBytes; left > 0;) {
        const length = Math.min(left, CHUNK_BYTES);
        const { data } = await this.#client.call("fileRead", { fileHandleId, length }, { signal });
        if (data === null) break;
        const chunk = Buffer.from(data, "base64").subarray(0, length);
        chunks.push(chunk);
        left -= chunk.length;
      }
      return Buffer.concat(chunks);
    });
  }

  async write(path: string, content: Uint8Array | string, options: WriteOptions = {}): Promise<void> {
    const { existing = "replace", mode, signal } = options;
    const bytes = typeof content === "string" ? Buffer.from(content) : Buffer.from(content);
    const how = {
      write: true,
      append: existing === "append",
      truncate: existing === "replace",
      create: existing !== "refuse",
      createNew: existing === "refuse",
      ...(mode === undefined ? {} : { mode }),
    };
    await this.#withFile(path, how, `writing '${path}'`, signal, async (fileHandleId) => {
      for (let done = 0; done < bytes.length;) {
        const data = bytes.toString("base64", done, done + CHUNK_BYTES);
        const { bytesWritten } = await this.#client.call("fileWrite", { fileHandleId, data }, { signal });
        if (bytesWritten === 0) throw new Error("the sandbox takes no more of it");
        done += bytesWritten;
      }
    });
  }

  async list(path: string, { signal }: CallOptions = {}): Promise<GuestEntry[]> {
    const entries = await this.#try(`listing '${path}'`, this.#client.call("readDir", { path }, { signal }));
    const named = entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
    return named.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async stat(path: string, { signal }: CallOptions = {}): Promise<GuestStat> {
    const info = await this.#try(`looking at '${path}'`, this.#client.call("stat", { path }, { signal }));
    return { kind: kindOf(info), sizeBytes: info.size, mode: info.mode & 0o7777, modifiedAt: Date.parse(info.mtime) };
  }

  async makeDirectory(path: string, { signal }: CallOptions = {}): Promise<void> {
    const call = this.#client.call("mkdir", { path, options: { recursive: true } }, { signal });
    await this.#try(`making the directory '${path}'`, call);
  }

  async remove(path: string, { signal, recursive = false }: CallOptions & { recursive?: boolean } = {}): Promise<void> {
    const call = this.#client.call("remove", { path, options: { recursive } }, { signal });
    await this.#try(`removing '${path}'`, call);
  }

  async #withFile<T>(
    path: string,
    options: Record<string, boolean | number>,
    what: string,
    signal: AbortSignal | undefined,
    use: (fileHandleId: number) => Promise<T>,
  ): Promise<T> {
    const close = async (fileHandleId: number): Promise<unknown> => this.#client.call("fileClose", { fileHandleId });
    const onLate = (late: { fileHandleId: number }): void => void close(late.fileHandleId).catch(() => undefined);
    const opening = this.#client.call("open", { path, options }, { signal, onLate });
    const { fileHandleId } = await this.#try(what, opening);
    // What a failed close would tell, such as a full disk, is told only where nothing else has failed.
    const work = this.#try(what, use(fileHandleId));
    const [done, closed] = [await settled(work), await settled(close(fileHandleId))];
    if (done.status === "fulfilled" && closed.status === "rejected") throw guestError(closed.reason, what);
    return work;
  }

  async #try<T>(what: string, call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      throw guestError(error, what);
    }
  }
}

async function settled<T>(work: Promise<T>): Promise<PromiseSettledResult<T>> {
  const [result] = await Promise.allSettled([work]);
  return result;
}

function kindOf({ isFile, isDirectory, isSymlink }: Kinds): GuestEntryKind {
  if (isSymlink) return "symlink";
  if (isDirectory) return "directory";
  return isFile ? "file" : "other";
}
