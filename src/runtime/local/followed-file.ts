/**
 * A log file that others write: read line by line across its rotations, and further while it grows. It is held open, so
 * that its end is read even when it was rotated or its directory removed. What is in it may be anybody's words.
 */
import { open, stat, type FileHandle } from "node:fs/promises";
import { StringDecoder } from "node:string_decoder";

const READ_BYTES = 64 * 1024;

export interface FollowedFileOptions {
  /** Longer lines are cut, characters. */
  maxLineChars: number;
}

export class FollowedFile implements AsyncDisposable {
  readonly #file: string;
  readonly #maxLineChars: number;
  #handle: FileHandle | undefined;
  #inode = 0n;
  /** Bytes of it that were read. */
  #position = 0;
  #decoder = new StringDecoder("utf8");
  /** The last line as far as it was written. */
  #partial = "";

  constructor(file: string, { maxLineChars }: FollowedFileOptions) {
    this.#file = file;
    this.#maxLineChars = maxLineChars;
  }

  /** The file that was full before this one (`<file>.1`). */
  async readRotated(): Promise<string[]> {
    // Opened first: if it is rotated now, it is still read, and is not read twice.
    await this.#open();
    try {
      await using handle = await open(`${this.#file}.1`, "r");
      if (this.#handle !== undefined && (await handle.stat({ bigint: true })).ino === this.#inode) return [];
      return this.#toLines(await handle.readFile("utf8"));
    } catch {
      return []; // The log never was full.
    }
  }

  /** Whole lines that were added since the last time. */
  async readNew(): Promise<string[]> {
    const lines = await this.#drain();
    lines.push(...(await this.#readEmptied()));
    const inode = await this.#currentInode();
    if (inode === null || (this.#handle !== undefined && inode === this.#inode)) return lines;
    // A new file was begun; what the old one got in between is still in it.
    lines.push(...(await this.#drain()));
    const old = this.#handle === undefined ? null : this.#inode;
    await this[Symbol.asyncDispose]();
    await this.#open();
    if (old !== null) lines.push(...(await this.#readBetween(old)));
    return [...lines, ...(await this.#drain())];
  }

  /** A reader that is slow may find that the file which followed the old one is full as well. */
  async #readBetween(old: bigint): Promise<string[]> {
    try {
      await using handle = await open(`${this.#file}.1`, "r");
      const { ino } = await handle.stat({ bigint: true });
      return ino === old || ino === this.#inode ? [] : this.#toLines(await handle.readFile("utf8"));
    } catch {
      return []; // Removed meanwhile.
    }
  }

  /** A last line without an end. */
  readRest(): string[] {
    const rest = this.#partial + this.#decoder.end();
    this.#partial = "";
    return rest === "" ? [] : [this.#cut(rest)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #open(): Promise<void> {
    if (this.#handle !== undefined) return;
    this.#handle = await open(this.#file, "r").catch(() => undefined);
    this.#position = 0;
    if (this.#handle !== undefined) this.#inode = (await this.#handle.stat({ bigint: true })).ino;
  }

  /** The supervisor empties its log when it is full (src/supervisor/capped-log.ts); what was in it is beside it then. */
  async #readEmptied(): Promise<string[]> {
    if (this.#handle === undefined || (await this.#handle.stat()).size >= this.#position) return [];
    const before = await this.#readBeside();
    const lines = this.#toLines(this.#decoder.write(before.subarray(this.#position)));
    this.#position = 0;
    return [...lines, ...(await this.#drain())];
  }

  async #readBeside(): Promise<Buffer> {
    try {
      await using handle = await open(`${this.#file}.1`, "r");
      return await handle.readFile();
    } catch {
      return Buffer.alloc(0); // Removed meanwhile.
    }
  }

  async #drain(): Promise<string[]> {
    const lines: string[] = [];
    if (this.#handle === undefined) return lines;
    const buffer = Buffer.alloc(READ_BYTES);
    for (;;) {
      const { bytesRead } = await this.#handle.read(buffer, 0, READ_BYTES, this.#position);
      if (bytesRead === 0) return lines;
      this.#position += bytesRead;
      lines.push(...this.#toLines(this.#decoder.write(buffer.subarray(0, bytesRead))));
    }
  }

  async #currentInode(): Promise<bigint | null> {
    try {
      return (await stat(this.#file, { bigint: true })).ino;
    } catch {
      return null; // Not yet there, or gone.
    }
  }

  #toLines(text: string): string[] {
    const parts = (this.#partial + text).split("\n");
    this.#partial = (parts.pop() ?? "").slice(0, this.#maxLineChars);
    return parts.filter((line) => line !== "" && line !== "\r").map((line) => this.#cut(line));
  }

  #cut(line: string): string {
    return line.replace(/\r$/, "").slice(0, this.#maxLineChars);
  }
}
