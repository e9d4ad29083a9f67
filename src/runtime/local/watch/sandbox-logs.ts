/**
 * The logs of a sandbox: its supervisor's, QEMU's, the guest's console, and the output of processes in the background.
 * All but the supervisor's lines are the guest's words.
 */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MAX_RECORD_CHARS, parseLineRecord, PROCESS_LOG_NAME } from "../../../protocol/line-records.ts";
import { LOG_SOURCES, type LogLine, type LogOptions, type LogSource } from "../../watching.ts";
import { FollowedFile } from "../followed-file.ts";

const FILES: Readonly<Record<LogSource, string>> = {
  supervisor: "supervisor.log",
  vm: "vm.log",
  console: "console.log",
  process: PROCESS_LOG_NAME,
};
const POLL_MS = 250;
/** Lines that Node or an earlier version wrote may be longer than records. */
const MAX_LINE_CHARS = Math.max(64 * 1024, MAX_RECORD_CHARS);

export interface ReadLogsOptions extends LogOptions {
  /** Ends following when this says that the sandbox is over. */
  isOver: () => boolean | Promise<boolean>;
}

/** What was logged so far, by time; with `follow`, what is added from then on. Ends silently with the signal. */
export async function* readLogs(directory: string, options: ReadLogsOptions): AsyncIterable<LogLine> {
  const { follow = false, tail, since, signal, sources = LOG_SOURCES } = options;
  await using logs = new LogFiles(directory, sources);
  yield* lastLines(byTime(await logs.readPast(!follow), since), tail);
  while (follow && signal?.aborted !== true) {
    const over = await options.isOver();
    yield* allLines(byTime(await logs.readNew(over), undefined));
    if (over) return;
    await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal }).catch(
      () => undefined, // aborted: the loop's condition sees it
    );
  }
}

/**
 * Lines that were written together. They become lines only when they are shown: a log of some megabytes may be millions
 * of them.
 */
interface Entry {
  time: number | null;
  source: LogSource;
  text: string;
  process?: LogLine["process"];
}

/** An entry without a time stays with the one before it of its source. */
function byTime(entries: readonly Entry[], since: number | undefined): Entry[] {
  const last = new Map<LogSource, number>();
  const dated = entries.map((entry) => {
    const time = entry.time ?? last.get(entry.source) ?? 0;
    last.set(entry.source, time);
    return { entry, time };
  });
  const recent = since === undefined ? dated : dated.filter(({ time }) => time >= since);
  return recent.sort((a, b) => a.time - b.time).map(({ entry }) => entry);
}

function* allLines(entries: readonly Entry[]): Iterable<LogLine> {
  for (const entry of entries) yield* linesOf(entry);
}

function* lastLines(entries: readonly Entry[], tail: number | undefined): Iterable<LogLine> {
  let first = tail === undefined ? 0 : entries.length;
  let count = 0;
  for (; tail !== undefined && first > 0 && count < tail; first--) count += countLines(entries[first - 1]);
  let skip = tail === undefined ? 0 : Math.max(0, count - tail);
  for (const line of allLines(entries.slice(first))) {
    if (skip > 0) skip--;
    else yield line;
  }
}

function countLines(entry: Entry | undefined): number {
  let count = 0;
  if (entry !== undefined) for (const _ of linesOf(entry)) count++;
  return count;
}

function* linesOf({ time, source, text, process }: Entry): Iterable<LogLine> {
  for (const part of text.split("\n")) {
    const line = part.replace(/\r+$/, "");
    // A console is full of empty lines; in the output of a program they mean something.
    if (line !== "" || source === "process") yield { time, source, text: line, ...(process && { process }) };
  }
}

class LogFiles implements AsyncDisposable {
  readonly all: readonly SourceLog[];

  constructor(directory: string, sources: readonly LogSource[]) {
    this.all = LOG_SOURCES.filter((source) => sources.includes(source)).map(
      (source) => new SourceLog(source, path.join(directory, FILES[source])),
    );
  }

  /** @param whole with last lines that have no end */
  async readPast(whole: boolean): Promise<Entry[]> {
    const past: Entry[][] = [];
    for (const log of this.all) {
      past.push(await log.readRotated(), await log.readNew());
      if (whole) past.push(log.readRest());
    }
    return past.flat();
  }

  /** @param whole as there */
  async readNew(whole: boolean): Promise<Entry[]> {
    const added: Entry[][] = [];
    for (const log of this.all) {
      added.push(await log.readNew());
      if (whole) added.push(log.readRest());
    }
    return added.flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const log of this.all) await log[Symbol.asyncDispose]();
  }
}

/** One source's entries, from its file. */
class SourceLog implements AsyncDisposable {
  readonly #source: LogSource;
  readonly #file: FollowedFile;

  constructor(source: LogSource, file: string) {
    this.#source = source;
    this.#file = new FollowedFile(file, { maxLineChars: MAX_LINE_CHARS });
  }

  async readRotated(): Promise<Entry[]> {
    return this.#parse(await this.#file.readRotated());
  }

  async readNew(): Promise<Entry[]> {
    return this.#parse(await this.#file.readNew());
  }

  readRest(): Entry[] {
    return this.#parse(this.#file.readRest());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  #parse(lines: readonly string[]): Entry[] {
    const source = this.#source;
    return lines.map((line) => (source === "supervisor" ? parseOwn(line) : parseRecord(line, source)));
  }
}

/** The supervisor writes JSON; what Node itself says of a crash is plain text. */
function parseOwn(line: string): Entry {
  try {
    const { time, message } = JSON.parse(line) as { time?: unknown; message?: unknown };
    if (typeof time === "number" && typeof message === "string") return { time, source: "supervisor", text: message };
  } catch {
    // Not JSON: shown as it is.
  }
  return { time: null, source: "supervisor", text: line };
}

/** What is no record an earlier version wrote, or it is half of one, from a full disk. */
function parseRecord(line: string, source: LogSource): Entry {
  return { source, ...(parseLineRecord(line) ?? { time: null, text: line }) };
}
