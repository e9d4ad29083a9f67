/** The guest's half of a copy into a sandbox whose server has the published calls alone: each entry is a few calls. */
import type { CopyStreamReport } from "../../protocol/rpc-methods-sbx.ts";
import { throwIfAborted } from "../abort.ts";
import type { CopyEntry, CopyEvent } from "../copy/copy-records.ts";
import { RecordDecoder } from "../copy/record-decoder.ts";
import { SkippedList } from "../copy/skipped-list.ts";
import type { CopyOptions } from "../runtime.ts";
import type { GuestDestination } from "./copy-ends.ts";
import type { RpcClient } from "./rpc-client.ts";

/** What one message carries, and a file that is written at once, `bytes`. */
const CHUNK_BYTES = 512 * 1024;
/** Files that are written side by side: the way there and back is most of it. */
const FILES_AT_ONCE = 16;

/** @param onWritten told each chunk that may be changed again */
export async function receivePublished(
  client: RpcClient,
  chunks: AsyncIterable<Buffer>,
  destination: GuestDestination,
  { signal }: CopyOptions,
  onWritten?: (chunk: Buffer) => void,
): Promise<CopyStreamReport> {
  const decoder = new RecordDecoder();
  const receiver = new Receiver(client, await placeOf(client, destination, signal), signal);
  for await (const chunk of chunks) {
    throwIfAborted(signal, "the copy");
    for (const event of decoder.push(chunk)) await receiver.take(event);
    onWritten?.(chunk);
  }
  decoder.finish();
  return receiver.finish();
}

/** A directory that is there receives what is copied; else the copy gets the name. */
async function placeOf(
  client: RpcClient,
  { path, directory }: GuestDestination,
  signal: AbortSignal | undefined,
): Promise<GuestDestination> {
  if (directory) return { path, directory };
  const info = await client.call("stat", { path }, { signal }).catch(() => undefined);
  return { path, directory: info?.isDirectory === true };
}

/** The file whose bytes are coming. */
interface OpenFile {
  entry: CopyEntry;
  path: string;
  /** Gathered, until there is enough for a message. */
  parts: Buffer[];
  gatheredBytes: number;
  /** Of a large one. */
  handleId: number | undefined;
}

class Receiver {
  readonly #client: RpcClient;
  readonly #place: GuestDestination;
  readonly #signal: AbortSignal | undefined;
  readonly #skipped = new SkippedList();
  readonly #writing = new Set<Promise<void>>();
  /** What a file failed with that nobody waited for. */
  #failure: { error: unknown } | undefined;
  /** Directories get their own mode and time when everything is in them. */
  readonly #directories: { path: string; entry: CopyEntry }[] = [];
  #file: OpenFile | undefined;
  #entries = 0;
  #bytes = 0;

  constructor(client: RpcClient, place: GuestDestination, signal: AbortSignal | undefined) {
    this.#client = client;
    this.#place = place;
    this.#signal = signal;
  }

  async take(event: CopyEvent): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    switch (event.kind) {
      case "entry":
        return this.#entry(event.entry);
      case "data":
        return this.#data(Buffer.from(event.bytes));
      case "hole":
        return this.#hole(event.bytes);
      case "endOfFile":
        return this.#endOfFile();
      case "skipped":
        this.#skipped.add(event.path.toString(), event.reason);
        return;
      case "end":
        return;
    }
  }

  async finish(): Promise<CopyStreamReport> {
    await this.#settle();
    for (const { path, entry } of this.#directories.reverse()) await this.#dress(path, entry);
    return { entries: this.#entries, bytes: this.#bytes, skipped: this.#skipped.list() };
  }

  async #entry(entry: CopyEntry): Promise<void> {
    const path = this.#pathOf(entry.path);
    this.#entries++;
    switch (entry.type) {
      case "directory":
        await this.#call("mkdir", { path, options: { recursive: true } });
        this.#directories.push({ path, entry });
        return;
      case "symlink":
        await this.#replace(path);
        await this.#call("symlink", { target: entry.link.toString(), path });
        return;
      case "hardLink":
        await this.#settle();
        await this.#replace(path);
        await this.#call("link", { target: this.#pathOf(entry.link), path });
        return;
      case "file":
        this.#file = { entry, path, parts: [], gatheredBytes: 0, handleId: undefined };
    }
  }

  /** The first component is the name of the source, which the destination may take the place of. */
  #pathOf(path: Buffer): string {
    const { path: base, directory } = this.#place;
    const names = path.toString().split("/");
    return [base.replace(/(?<=.)\/+$/, ""), ...(directory ? names : names.slice(1))].join("/");
  }

  /** A link takes the place of what is there, as a file does. */
  async #replace(path: string): Promise<void> {
    await this.#client.call("remove", { path }, { signal: this.#signal }).catch(() => undefined);
  }

  async #data(bytes: Buffer): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    file.parts.push(bytes);
    file.gatheredBytes += bytes.length;
    this.#bytes += bytes.length;
    if (file.gatheredBytes >= CHUNK_BYTES) await this.#write(file);
  }

  /** Zeros are written: the published calls have no holes. */
  async #hole(bytes: number): Promise<void> {
    for (let left = bytes; left > 0; left -= CHUNK_BYTES) await this.#data(Buffer.alloc(Math.min(left, CHUNK_BYTES)));
  }

  async #write(file: OpenFile): Promise<void> {
    file.handleId ??= await this.#open(file);
    const bytes = Buffer.concat(file.parts);
    file.parts = [];
    file.gatheredBytes = 0;
    for (let done = 0; done < bytes.length;) {
      const data = bytes.toString("base64", done, Math.min(bytes.length, done + CHUNK_BYTES));
      const { bytesWritten } = await this.#client.call(
        "fileWrite",
        { fileHandleId: file.handleId, data },
        { signal: this.#signal },
      );
      if (bytesWritten === 0) throw new Error("the sandbox takes no more of it");
      done += bytesWritten;
    }
  }

  async #open({ path }: OpenFile): Promise<number> {
    const options = { write: true, create: true, truncate: true };
    return (await this.#client.call("open", { path, options }, { signal: this.#signal })).fileHandleId;
  }

  async #endOfFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    if (file.handleId !== undefined) {
      await this.#write(file);
      await this.#call("fileClose", { fileHandleId: file.handleId });
      await this.#dress(file.path, file.entry);
      return;
    }
    const content = Buffer.concat(file.parts).toString("base64");
    const work = this.#small(file, content);
    const tracked: Promise<void> = work
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => this.#writing.delete(tracked));
    this.#writing.add(tracked);
    if (this.#writing.size >= FILES_AT_ONCE) await Promise.race(this.#writing);
  }

  async #small({ path, entry }: OpenFile, content: string): Promise<void> {
    await this.#call("writeFile", { path, content });
    await this.#dress(path, entry);
  }

  async #dress(path: string, { mode, mtimeMs }: CopyEntry): Promise<void> {
    const time = new Date(mtimeMs).toISOString();
    await this.#call("utime", { path, atime: time, mtime: time });
    await this.#call("chmod", { path, mode });
  }

  async #settle(): Promise<void> {
    while (this.#writing.size > 0) await Promise.all(this.#writing);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  readonly #call: RpcClient["call"] = async (method, params) =>
    this.#client.call(method, params, { signal: this.#signal });
}
