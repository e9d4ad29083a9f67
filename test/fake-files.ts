/** Files of a fake guest: a map from paths to contents. Directories are whatever paths begin with. */
import { SbxError } from "../src/runtime/errors.ts";
import type { GuestEntry, GuestFiles, GuestStat, ReadOptions, WriteOptions } from "../src/runtime/files.ts";

export class FakeFiles implements GuestFiles {
  readonly contents = new Map<string, Buffer>();
  readonly #record: (method: string, ...args: unknown[]) => void;

  constructor(record: (method: string, ...args: unknown[]) => void) {
    this.#record = record;
  }

  async read(path: string, { offset = 0, maxBytes = Infinity }: ReadOptions = {}): Promise<Uint8Array> {
    this.#record("files.read", path, offset, maxBytes);
    return this.#get(path, "reading").subarray(offset, offset + maxBytes);
  }

  async write(path: string, content: Uint8Array | string, { existing = "replace" }: WriteOptions = {}): Promise<void> {
    this.#record("files.write", path, existing);
    const before = existing === "append" ? (this.contents.get(path) ?? Buffer.alloc(0)) : Buffer.alloc(0);
    if (existing === "refuse" && this.contents.has(path)) {
      throw new SbxError("guest_error", `writing '${path}' failed in the sandbox: file exists`);
    }
    this.contents.set(path, Buffer.concat([before, typeof content === "string" ? Buffer.from(content) : content]));
  }

  async list(path: string): Promise<GuestEntry[]> {
    this.#record("files.list", path);
    const start = path.endsWith("/") ? path : `${path}/`;
    const below = [...this.contents.keys()].filter((name) => name.startsWith(start));
    const kinds = new Map<string, GuestEntry["kind"]>();
    for (const name of below) {
      const [first = "", ...rest] = name.slice(start.length).split("/");
      kinds.set(first, rest.length === 0 ? "file" : "directory");
    }
    if (kinds.size === 0) throw missing(path, "listing");
    return [...kinds].map(([name, kind]) => ({ name, kind })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async stat(path: string): Promise<GuestStat> {
    this.#record("files.stat", path);
    const { length } = this.#get(path, "looking at");
    return { kind: "file", sizeBytes: length, mode: 0o644, modifiedAt: 0 };
  }

  async makeDirectory(path: string): Promise<void> {
    this.#record("files.makeDirectory", path);
  }

  async remove(path: string): Promise<void> {
    this.#record("files.remove", path);
    this.contents.delete(path);
  }

  #get(path: string, what: string): Buffer {
    const content = this.contents.get(path);
    if (content === undefined) throw missing(path, what);
    return content;
  }
}

function missing(path: string, what: string): SbxError {
  return new SbxError("guest_error", `${what} '${path}' failed in the sandbox: no such file or directory`);
}
