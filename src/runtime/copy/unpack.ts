/**
 * From a copy stream to the host's disk. The stream was made by guest code and is taken for hostile: nothing is
 * written outside of the destination, no link below it is followed, no existing file is written through, and of a
 * copy that fails or is aborted nothing is left half-written.
 *
 * System calls are synchronous, as in pack: for five thousand small files that is several times quicker than the
 * thread pool, and between two chunks the event loop has its turn.
 */
import { lstatSync } from "node:fs";
import { throwIfAborted } from "../abort.ts";
import { SbxError } from "../errors.ts";
import type { CopyReport } from "../runtime.ts";
import type { CopyEntry, CopyEvent } from "./copy-records.ts";
import type { Destination } from "./destination.ts";
import { DirectoryStack } from "./directory-stack.ts";
import { showPath, splitEntryPath } from "./entry-path.ts";
import { FilePlacer, type FileWriter, type Place } from "./file-placer.ts";
import { errnoOf, hostFileError, reasonOf } from "./host-errors.ts";
import { RecordDecoder } from "./record-decoder.ts";
import { SkippedList } from "./skipped-list.ts";
import { removeStaleStaging } from "./staging.ts";

export interface UnpackOptions {
  signal?: AbortSignal | undefined;
  /** Told after each chunk how many bytes of files have come in all, holes included. */
  onBytes?: (bytes: number) => void;
  /** Told the directory for incomplete files before anything is in it: who is killed leaves it behind. */
  onStaging?: (path: string) => void;
  /** Takes the content of the single source instead of the source itself. */
  contentsOnly?: boolean;
}

/** What the host's file system may refuse a single name for; the copy goes on without it. */
const NAME_ERRORS = new Set(["ENAMETOOLONG", "EILSEQ", "EINVAL"]);
/** Paths of files that hard links may name, in characters; links to files beyond that are left out. */
const MAX_REMEMBERED_CHARS = 32 * 1024 * 1024;

/**
 * Unpacks a stream.
 *
 * @throws SbxError `copy_refused` if the stream breaks the rules or something is in its way, `file_error` and
 * `disk_full` for the host's disk, `aborted`; and what the stream itself fails with
 */
export async function unpack(
  stream: AsyncIterable<Buffer>,
  destination: Destination,
  options: UnpackOptions = {},
): Promise<CopyReport> {
  removeStaleStaging(destination.root);
  using unpacker = new Unpacker(destination, options);
  const decoder = new RecordDecoder();
  for await (const chunk of stream) {
    throwIfAborted(options.signal, "the copy");
    for (const event of decoder.push(chunk)) unpacker.handle(event);
    options.onBytes?.(unpacker.bytes);
  }
  throwIfAborted(options.signal, "the copy");
  decoder.finish();
  return unpacker.finish();
}

class Unpacker implements Disposable {
  bytes = 0;
  readonly #destination: Destination;
  readonly #contentsOnly: boolean;
  readonly #directories: DirectoryStack;
  readonly #placer: FilePlacer;
  readonly #skipped = new SkippedList();
  /** Files of this stream, which later hard links may name. */
  readonly #files = new Set<string>();
  #rememberedChars = 0;
  #fileCount = 0;
  #writer: FileWriter | undefined;
  /** The file being received, for messages. */
  #current: CopyEntry | undefined;
  /** Name of the single source, once it is known. */
  #sourceName: string | undefined;
  /** A directory that the host could not make, with a `/` at its end: what is in it is left out too. */
  #leftOut: string | undefined;

  constructor(destination: Destination, options: UnpackOptions) {
    this.#destination = destination;
    this.#contentsOnly = options.contentsOnly === true && destination.name === null;
    this.#directories = new DirectoryStack(destination.root);
    this.#placer = new FilePlacer(this.#directories.root, destination.root, options.onStaging);
  }

  handle(event: CopyEvent): void {
    switch (event.kind) {
      case "entry":
        this.#startEntry(event.entry);
        return;
      case "data":
        this.bytes += event.bytes.length;
        this.#attempt(() => this.#writer?.write(event.bytes));
        return;
      case "hole":
        this.bytes += event.bytes;
        this.#writer?.skip(event.bytes);
        return;
      case "endOfFile":
        this.#endFile();
        return;
      case "skipped":
        this.#skipped.add(event.path.toString("utf8"), event.reason);
        return;
      case "end":
        this.#attempt(() => this.#directories.leaveAll());
        return;
    }
  }

  finish(): CopyReport {
    return { files: this.#fileCount, bytes: this.bytes, skipped: this.#skipped.list() };
  }

  [Symbol.dispose](): void {
    this.#writer?.close();
    this.#placer[Symbol.dispose]();
    this.#directories[Symbol.dispose]();
  }

  #startEntry(entry: CopyEntry): void {
    this.#current = entry;
    const components = this.#place(entry, splitEntryPath(entry.path), entry.type === "directory");
    const path = components.join("/");
    if (this.#leftOut !== undefined && path.startsWith(this.#leftOut)) return;
    this.#attempt(() => {
      try {
        this.#make(entry, components);
      } catch (error) {
        if (!NAME_ERRORS.has(errnoOf(error) ?? "")) throw error;
        this.#skip(entry, error);
        if (entry.type === "directory") this.#leftOut = `${path}/`;
      }
    });
  }

  #make(entry: CopyEntry, components: string[]): void {
    if (entry.type === "directory") {
      this.#directories.make(components, entry.mode, entry.mtimeMs);
      return;
    }
    const place = this.#placeOf(components);
    switch (entry.type) {
      case "file":
        this.#writer = this.#placer.openFile(entry, place);
        this.#remember(components);
        return;
      case "symlink":
        this.#placer.symlink(entry, place);
        this.#fileCount += 1;
        return;
      case "hardLink":
        this.#hardLink(entry, components);
        return;
    }
  }

  #endFile(): void {
    const writer = this.#writer;
    if (writer === undefined) return;
    this.#writer = undefined;
    this.#attempt(() => {
      try {
        writer.finish();
        this.#fileCount += 1;
      } catch (error) {
        writer.close();
        if (!NAME_ERRORS.has(errnoOf(error) ?? "")) throw error;
        if (this.#current !== undefined) this.#skip(this.#current, error);
      }
    });
  }

  /** The file that a link names must have come in this stream, and must still be what it was. */
  #hardLink(entry: CopyEntry, components: string[]): void {
    const target = this.#place(entry, splitEntryPath(entry.link), false);
    if (!this.#files.has(target.join("/"))) {
      if (this.#rememberedChars < MAX_REMEMBERED_CHARS) {
        throw refused(
          `${showPath(entry.path)} is a hard link to ${showPath(entry.link)}, which the copy does not hold`,
        );
      }
      this.#skipped.add(entry.path.toString("utf8"), "too many files to find the one that this is a link to");
      return;
    }
    using directories = new DirectoryStack(this.#destination.root);
    const existing = { directory: directories.enter(target.slice(0, -1)), component: target.at(-1) ?? "" };
    if (!lstatSync(existing.directory.child(existing.component)).isFile()) {
      throw refused(`${showPath(entry.path)} is a hard link to ${showPath(entry.link)}, which is no file any longer`);
    }
    this.#placer.hardLink(existing, this.#placeOf(components));
    this.#fileCount += 1;
  }

  #placeOf(components: string[]): Place {
    const component = components.at(-1);
    if (component === undefined) throw refused("the source is not a directory");
    return { directory: this.#directories.enter(components.slice(0, -1)), component };
  }

  /** Where a path of the stream goes below the destination: the source may get another name, or none. */
  #place(entry: CopyEntry, components: string[], isDirectory: boolean): string[] {
    const { name, directoryOnly, shown } = this.#destination;
    const [sourceName = "", ...below] = components;
    if (name === null && !this.#contentsOnly) return components;
    this.#sourceName ??= sourceName;
    if (this.#sourceName !== sourceName) {
      throw new SbxError("copy_refused", `${showPath(shown)} is not an existing directory, and several files came`, {
        hint: `make it first: mkdir -p '${shown}'`,
      });
    }
    if (below.length === 0 && !isDirectory && entry.type !== "hardLink" && (directoryOnly || this.#contentsOnly)) {
      throw new SbxError("file_error", `${showPath(entry.path)} is not a directory, as the paths ask for`);
    }
    return name === null ? below : [name, ...below];
  }

  #remember(components: string[]): void {
    const path = components.join("/");
    if (this.#rememberedChars + path.length > MAX_REMEMBERED_CHARS) {
      this.#rememberedChars = MAX_REMEMBERED_CHARS;
      return;
    }
    this.#rememberedChars += path.length;
    this.#files.add(path);
  }

  #skip(entry: CopyEntry, error: unknown): void {
    this.#skipped.add(entry.path.toString("utf8"), `${reasonOf(error)} (on the host)`);
  }

  /** Names the entry in whatever the host's file system says. */
  #attempt(act: () => void): void {
    try {
      act();
    } catch (cause) {
      const path = this.#current?.path ?? Buffer.alloc(0);
      const code = errnoOf(cause);
      if (code === "EISDIR" || code === "ENOTEMPTY" || code === "EEXIST") {
        throw new SbxError("copy_refused", `${showPath(path)} is a directory at the destination, and not in the copy`, {
          cause,
          hint: "move it away, or copy to another directory",
        });
      }
      throw hostFileError("cannot write", path, cause);
    }
  }
}

function refused(what: string): SbxError {
  return new SbxError("copy_refused", `the sandbox sent a copy that breaks the rules: ${what}`);
}
