/** The logs of a sandbox: its supervisor's, QEMU's, and the guest's console. The console's text is the guest's. */
import { open, readFile, stat } from "node:fs/promises";
import path from "node:path";
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

export interface LogOptions {
  follow?: boolean;
  /** Only the last so many lines of each source. */
  tail?: number;
  signal?: AbortSignal;
  /** Ends following when this says that the sandbox is over. */
  isOver: () => boolean;
}

export async function* readLogs(directory: string, options: LogOptions): AsyncIterable<LogLine> {
  const positions = new Map<string, number>();
  const recorded: LogLine[] = [];
  for (const [source, name] of SOURCES) {
    const file = path.join(directory, name);
    const current = await readText(file);
    positions.set(file, Buffer.byteLength(current));
    const lines = parseLines(source, (await readText(`${file}.1`)) + current);
    recorded.push(...(options.tail === undefined ? lines : lines.slice(Math.max(0, lines.length - options.tail))));
  }
  yield* recorded;
  while (options.follow === true && options.signal?.aborted !== true) {
    const over = options.isOver();
    for (const [source, name] of SOURCES)
      yield* parseLines(source, await readNew(path.join(directory, name), positions));
    if (over) return;
    await sleep(POLL_MS, undefined, options.signal === undefined ? {} : { signal: options.signal }).catch(
      () => undefined,
    );
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch {
    return ""; // There is none (yet, or any more).
  }
}

async function readNew(file: string, positions: Map<string, number>): Promise<string> {
  try {
    const { size } = await stat(file);
    const from = positions.get(file) ?? 0;
    const start = size < from ? 0 : from; // a new file was begun
    if (size === start) return "";
    await using handle = await open(file, "r");
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    positions.set(file, start + bytesRead);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } catch {
    return "";
  }
}

function parseLines(source: LogLine["source"], text: string): LogLine[] {
  return text
    .split("\n")
    .map((line) => line.replace(/\r$/, "").slice(0, MAX_LINE_CHARS))
    .filter((line) => line !== "")
    .map((line) => (source === "supervisor" ? parseOwn(line) : { time: null, source, text: line }));
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
