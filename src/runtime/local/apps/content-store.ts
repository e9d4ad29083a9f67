/**
 * The files of revisions: tar archives by their SHA-256, each kept once. They hold what a guest or a client chose, so
 * nothing on this machine ever unpacks one; they are unpacked in guests alone.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { syncPath } from "../../../host/durable-file.ts";
import { identifyProcess } from "../../../host/process-identity.ts";
import { SbxError } from "../../errors.ts";

const ARCHIVE = /^([0-9a-f]{64})\.tar$/;
const UNFINISHED = /^\.new-(\d+)-/;

export interface StoredContent {
  sha256: string;
  bytes: number;
}

export interface ContentStoreOptions {
  directory: string;
  /** Held while an archive is given its name and its revision, and while an unused one is removed. */
  lock: () => Promise<AsyncDisposable>;
  /** Whether a revision has it. */
  isUsed: (sha256: string) => boolean;
}

export class ContentStore {
  readonly #options: ContentStoreOptions;

  constructor(options: ContentStoreOptions) {
    this.#options = options;
  }

  pathOf(sha256: string): string {
    return path.join(this.#options.directory, `${sha256}.tar`);
  }

  /**
   * Keeps an archive.
   *
   * @param record notes who has it; before that it is garbage
   * @throws SbxError `usage` if it is larger than `maxBytes`, `disk_full`
   */
  async store(
    archive: AsyncIterable<Uint8Array>,
    maxBytes: number,
    record: (content: StoredContent) => void,
  ): Promise<void> {
    const { directory } = this.#options;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const temporaryPath = path.join(directory, `.new-${process.pid}-${randomBytes(6).toString("hex")}`);
    try {
      const content = await writeArchive(temporaryPath, archive, maxBytes);
      await using _lock = await this.#options.lock();
      await rename(temporaryPath, this.pathOf(content.sha256));
      await syncPath(directory);
      record(content);
    } catch (error) {
      await rm(temporaryPath, { force: true });
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      throw new SbxError("disk_full", "there is no room for the files of the revision", { cause: error });
    }
  }

  /** Reads one. @throws SbxError `state_broken` if it is not there */
  async read(sha256: string): Promise<{ bytes: number; chunks: AsyncIterable<Uint8Array> }> {
    const file = this.pathOf(sha256);
    try {
      const { size } = await stat(file);
      return { bytes: size, chunks: chunksOf(file) };
    } catch (cause) {
      throw new SbxError("state_broken", `the files of a revision, ${file}, cannot be read`, {
        cause,
        hint: "deploy them again",
      });
    }
  }

  /** Removes it unless a revision has it. */
  async forget(sha256: string): Promise<void> {
    await using _lock = await this.#options.lock();
    if (!this.#options.isUsed(sha256)) await rm(this.pathOf(sha256), { force: true });
  }

  /** What dead processes did not finish, and archives that no revision has. */
  async removeLeftovers(): Promise<void> {
    const { directory, isUsed, lock } = this.#options;
    const names = namesIn(directory);
    if (names.length === 0) return;
    await using _lock = await lock();
    for (const name of names) {
      const pid = UNFINISHED.exec(name)?.[1];
      const sha256 = ARCHIVE.exec(name)?.[1];
      const isLeft =
        pid === undefined ? sha256 !== undefined && !isUsed(sha256) : identifyProcess(Number(pid)) === null;
      if (isLeft) rmSync(path.join(directory, name), { force: true });
    }
  }
}

/** Opened by whoever reads: a file that nobody closes ends the process. */
async function* chunksOf(file: string): AsyncIterable<Uint8Array> {
  await using handle = await open(file, "r");
  yield* handle.createReadStream({ autoClose: false });
}

async function writeArchive(
  file: string,
  archive: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<StoredContent> {
  const hash = createHash("sha256");
  let bytes = 0;
  await using handle = await open(file, "wx", 0o600);
  for await (const chunk of archive) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new SbxError("usage", `the files of a revision have at most ${maxBytes} bytes`, {
        hint: "deploy a directory that holds only what the app needs",
      });
    }
    hash.update(chunk);
    await handle.writeFile(chunk);
  }
  await handle.sync();
  return { sha256: hash.digest("hex"), bytes };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // Nothing was ever deployed.
  }
}
