/** Build logs: a file of JSON lines for each revision, written by whoever builds it and followed by anybody. */
import { appendFileSync, mkdirSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import path from "node:path";
import { buildLogSchema } from "../../../protocol/app-records.ts";
import type { BuildLogLine } from "../../../protocol/app-values.ts";

/** What a build says beyond this is not kept, `bytes`. */
const MAX_LOG_BYTES = 4 * 1024 ** 2;
/** Longest line, `chars`. */
const MAX_LINE_CHARS = 16 * 1024;
/** More than the longest line takes. */
const READ_BYTES = 256 * 1024;

export class BuildLogs {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  pathOf(revision: string): string {
    return path.join(this.#directory, `${revision}.ndjson`);
  }

  /** The log of a revision that is being built. A full disk loses lines, and no build. */
  writer(revision: string, now: () => number): BuildLogWriter {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    return new BuildLogWriter(this.pathOf(revision), now);
  }

  /** What was added from a place on, and the place behind it; whole lines. */
  async read(revision: string, position: number): Promise<{ lines: BuildLogLine[]; position: number }> {
    try {
      await using handle = await open(this.pathOf(revision), "r");
      const { size } = await handle.stat();
      const bytes = Buffer.alloc(Math.min(READ_BYTES, Math.max(0, size - position)));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, position);
      const end = bytes.subarray(0, bytesRead).lastIndexOf("\n") + 1;
      const lines = bytes.toString("utf8", 0, end).split("\n").map(parseLine);
      return { lines: lines.filter((line) => line !== undefined), position: position + end };
    } catch {
      return { lines: [], position }; // It has said nothing yet.
    }
  }

  remove(revision: string): void {
    rmSync(this.pathOf(revision), { force: true });
  }
}

export class BuildLogWriter {
  readonly #file: string;
  readonly #now: () => number;
  #bytes: number;
  #isFull = false;

  constructor(file: string, now: () => number) {
    this.#file = file;
    this.#now = now;
    this.#bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  }

  write(line: Omit<BuildLogLine, "time">): void {
    if (this.#isFull) return;
    this.#isFull = this.#bytes > MAX_LOG_BYTES;
    const message = this.#isFull ? "the rest of this log is not kept" : line.message.slice(0, MAX_LINE_CHARS);
    // A surrogate of a pair that was cut is written as U+FFFD.
    const text = `${JSON.stringify({ time: this.#now(), ...line, message: message.toWellFormed() })}\n`;
    this.#bytes += Buffer.byteLength(text);
    try {
      appendFileSync(this.#file, text, { mode: 0o600 });
    } catch {
      this.#isFull = true; // The disk is: the build goes on.
    }
  }
}

function parseLine(text: string): BuildLogLine | undefined {
  if (text === "") return undefined;
  try {
    return buildLogSchema.parse(JSON.parse(text));
  } catch {
    return undefined; // A full disk cut it.
  }
}
