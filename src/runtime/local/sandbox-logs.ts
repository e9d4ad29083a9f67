/**
 * The logs of a sandbox: its supervisor's, QEMU's, and the guest's console. The console's text is the guest's.
 * A log that is followed is held open, so that its end is read even when it was rotated or its directory removed.
 */
import { open, readFile, stat, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { StringDecoder } from "node:string_decoder";
import { setTimeout as sleep } from "node:timers/promises";
import type { LogLine } from "../types.ts";

/** File of each source, in the order in which they are shown. */
const SOURCES = [
  ["supervisor", "supervisor.log"],
  ["vm", "vm.log"],
  ["console", "console.log"],
] as const;
const POLL_MS = 250;
const MAX_LINE_CHARS = 64 * 1024;
const READ_BYTES = 64 * 1024;

export interface LogOptions {
  follow?: boolean;
  /** Only the last so many lines of each source. */
  tail?: number;
  signal?: AbortSignal;
  /** Ends following when this says that the sandbox is over. */
  isOver: () => boolean;
}

/** What was logged so far, source by source; with `follow`, what is added from then on. */
export async function* readLogs(directory: string, options: LogOptions): AsyncIterable<LogLine> {
  await using logs = new LogFiles(directory);
  const { tail } = options;
  for (const log of logs.all) {
    const lines = [...(await log.readRotated()), ...(await log.readNew())];
    if (options.follow !== true) lines.push(...log.readRest());
    yield* tail === undefined ? lines : lines.slice(Math.max(0, lines.length - tail));
  }
  while (options.follow === true && options.signal?.aborted !== true) {
    const over = options.isOver();
    for (const log of logs.all) {
      yield* await log.readNew();
      if (over) yield* log.readRest();
    }
    if (over) return;
    await sleep(POLL_MS, undefined, options.signal === undefined ? {} : { signal: options.signal }).catch(
      () => undefined, // aborted: the loop's condition sees it
    );
  }
}

class LogFiles implements AsyncDisposable {
  readonly all: readonly LogFile[];

  constructor(directory: string) {
    this.all = SOURCES.map(([source, name]) => new LogFile(source, path.join(directory, name)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const log of this.all) await log.close();
  }
}

/** One log, read line by line across its rotations. */
class LogFile {
  readonly #source: LogLine["source"];
  readonly #file: string;
  #handle: FileHandle | undefined;
  #inode = 0n;
  /** Bytes of it that were read. */
  #position = 0;
  #decoder = new StringDecoder("utf8");
  /** The last line as far as it was written. */
  #partial = "";

  constructor(source: LogLine["source"], file: string) {
    this.#source = source;
    this.#file = file;
  }

  /** The file that was full before this one. */
  async readRotated(): Promise<LogLine[]> {
    try {
      return this.#toLines(await readFile(`${this.#file}.1`, "utf8"));
    } catch {
      return []; // The log never was full.
    }
  }

  /** Whole lines that were added since the last time. */
  async readNew(): Promise<LogLine[]> {
    const lines = await this.#drain();
    lines.push(...(await this.#readEmptied()));
    const inode = await this.#currentInode();
    if (inode === null || (this.#handle !== undefined && inode === this.#inode)) return lines;
    // A new file was begun; what the old one got in between is still in it.
    lines.push(...(await this.#drain()));
    await this.close();
    this.#handle = await open(this.#file, "r").catch(() => undefined);
    this.#inode = inode;
    this.#position = 0;
    return [...lines, ...(await this.#drain())];
  }

  /** A last line without an end. */
  readRest(): LogLine[] {
    const rest = this.#partial + this.#decoder.end();
    this.#partial = "";
    return rest === "" ? [] : [this.#toLine(rest)];
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  /** The supervisor empties its log when it is full (src/supervisor/capped-log.ts); what was in it is beside it then. */
  async #readEmptied(): Promise<LogLine[]> {
    if (this.#handle === undefined || (await this.#handle.stat()).size >= this.#position) return [];
    const before = await readFile(`${this.#file}.1`).catch(() => Buffer.alloc(0));
    const lines = this.#toLines(this.#decoder.write(before.subarray(this.#position)));
    this.#position = 0;
    return [...lines, ...(await this.#drain())];
  }

  async #drain(): Promise<LogLine[]> {
    const lines: LogLine[] = [];
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

  #toLines(text: string): LogLine[] {
    const parts = (this.#partial + text).split("\n");
    this.#partial = (parts.pop() ?? "").slice(0, MAX_LINE_CHARS);
    return parts.filter((line) => line !== "" && line !== "\r").map((line) => this.#toLine(line));
  }

  #toLine(text: string): LogLine {
    const line = text.replace(/\r$/, "").slice(0, MAX_LINE_CHARS);
    return this.#source === "supervisor" ? parseOwn(line) : { time: null, source: this.#source, text: line };
  }
}

/** The supervisor writes JSON; what Node itself says of a crash is plain text. */
function parseOwn(line: string): LogLine {
  try {
    const { time, message } = JSON.parse(line) as { time?: unknown; message?: unknown };
    if (typeof time === "number" && typeof message === "string") return { time, source: "supervisor", text: message };
  } catch {
    // Not JSON: shown as it is.
  }
  return { time: null, source: "supervisor", text: line };
}
