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
  const earlier: LogLine[] = [];
  for (const log of logs.all) {
    earlier.push(...(await log.readRotated()), ...(await log.readNew()));
    if (!follow) earlier.push(...log.readRest());
  }
  const wanted = byTime(earlier, since);
  yield* tail === undefined ? wanted : wanted.slice(Math.max(0, wanted.length - tail));
  while (follow && signal?.aborted !== true) {
    const over = await options.isOver();
    const added: LogLine[] = [];
    for (const log of logs.all) {
      added.push(...(await log.readNew()));
      if (over) added.push(...log.readRest());
    }
    yield* byTime(added, undefined);
    if (over) return;
    await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal }).catch(
      () => undefined, // aborted: the loop's condition sees it
    );
  }
}

/** A line without a time stays with the one before it of its source. */
function byTime(lines: readonly LogLine[], since: number | undefined): LogLine[] {
  const last = new Map<LogSource, number>();
  const dated = lines.map((line) => {
    const time = line.time ?? last.get(line.source) ?? 0;
    last.set(line.source, time);
    return { line, time };
  });
  const recent = since === undefined ? dated : dated.filter(({ time }) => time >= since);
  return recent.sort((a, b) => a.time - b.time).map(({ line }) => line);
}

class LogFiles implements AsyncDisposable {
  readonly all: readonly SourceLog[];

  constructor(directory: string, sources: readonly LogSource[]) {
    this.all = LOG_SOURCES.filter((source) => sources.includes(source)).map(
      (source) => new SourceLog(source, path.join(directory, FILES[source])),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const log of this.all) await log[Symbol.asyncDispose]();
  }
}

/** One source's lines, from its file. */
class SourceLog implements AsyncDisposable {
  readonly #source: LogSource;
  readonly #file: FollowedFile;

  constructor(source: LogSource, file: string) {
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
    return lines.flatMap((line) => (source === "supervisor" ? [parseOwn(line)] : parseRecord(line, source)));
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

function parseRecord(line: string, source: LogSource): LogLine[] {
  const record = parseLineRecord(line);
  // Such as what an earlier version wrote, or half a record of a full disk.
  if (record === undefined) return [{ time: null, source, text: line }];
  const { time, text, process } = record;
  const texts = text.split("\n").map((one) => one.replace(/\r+$/, ""));
  // A console is full of empty lines; in the output of a program they mean something.
  const shown = source === "process" ? texts : texts.filter((one) => one !== "");
  return shown.map((one) => ({ time, source, text: one, ...(process && { process }) }));
}
