/** The logs of a sandbox: its supervisor's, QEMU's, and the guest's console. The console's text is the guest's. */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LogLine } from "../types.ts";
import { FollowedFile } from "./followed-file.ts";

/** File of each source, in the order in which they are shown. */
const SOURCES = [
  ["supervisor", "supervisor.log"],
  ["vm", "vm.log"],
  ["console", "console.log"],
] as const;
const POLL_MS = 250;
const MAX_LINE_CHARS = 64 * 1024;

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
  readonly all: readonly SourceLog[];

  constructor(directory: string) {
    this.all = SOURCES.map(([source, name]) => new SourceLog(source, path.join(directory, name)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const log of this.all) await log[Symbol.asyncDispose]();
  }
}

/** One source's lines, from its file. */
class SourceLog implements AsyncDisposable {
  readonly #source: LogLine["source"];
  readonly #file: FollowedFile;

  constructor(source: LogLine["source"], file: string) {
    this.#source = source;
    this.#file = new FollowedFile(file, { maxLineChars: MAX_LINE_CHARS });
  }

  async readRotated(): Promise<LogLine[]> {
    return this.#toLines(await this.#file.readRotated());
  }

  async readNew(): Promise<LogLine[]> {
    return this.#toLines(await this.#file.readNew());
  }

  readRest(): LogLine[] {
    return this.#toLines(this.#file.readRest());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  #toLines(lines: readonly string[]): LogLine[] {
    const source = this.#source;
    return lines.map((text) => (source === "supervisor" ? parseOwn(text) : { time: null, source, text }));
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
