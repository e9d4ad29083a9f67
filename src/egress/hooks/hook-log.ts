/**
 * Lines that the hook process prints, on their way to the sandbox's log: bounded in length and in rate, since a hook
 * may print for every request that a guest can make, and without control characters, since it may print what a guest sent.
 */
import type { Readable } from "node:stream";

/** Longest line, `characters`. */
const MAX_LINE_CHARS = 2000;
/** Lines that may come at once, and then each second. */
const BURST_LINES = 200;
const LINES_PER_SECOND = 50;

// As in the CLI's own output: control and format characters, separators and halves of surrogate pairs.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

export class HookLog {
  readonly #write: (line: string) => void;
  readonly #now: () => number;
  #tokens = BURST_LINES;
  #filledAt: number;
  #dropped = 0;

  /** @param now monotonic, `ms` */
  constructor(write: (line: string) => void, now: () => number = () => performance.now()) {
    this.#write = write;
    this.#now = now;
    this.#filledAt = now();
  }

  /** sbx's own words about the hook process. */
  note(text: string): void {
    this.#write(escapeControls(text.slice(0, MAX_LINE_CHARS)));
  }

  /** Passes on what a stream of the hook process prints, line by line. */
  follow(stream: Readable, onLine: (line: string) => void = () => undefined): void {
    let line = "";
    let cut = false;
    const finish = (): void => {
      if (line !== "") {
        onLine(line);
        this.#print(cut ? `${line}…` : line);
      }
      line = "";
      cut = false;
    };
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      const parts = text.split("\n");
      for (const [index, part] of parts.entries()) {
        if (index > 0) finish();
        cut ||= line.length + part.length > MAX_LINE_CHARS;
        line += part.slice(0, MAX_LINE_CHARS - line.length);
      }
    });
    stream.on("end", finish);
    stream.on("error", () => undefined); // the process has gone
  }

  #print(line: string): void {
    const now = this.#now();
    this.#tokens = Math.min(BURST_LINES, this.#tokens + ((now - this.#filledAt) / 1000) * LINES_PER_SECOND);
    this.#filledAt = now;
    if (this.#tokens < 1) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0) this.note(`${this.#dropped} lines of the hook left out`);
    this.#dropped = 0;
    this.#tokens -= 1;
    this.#write(escapeControls(line));
  }
}

export function escapeControls(text: string): string {
  return text.replace(UNSAFE, (character) => {
    if (character === "\t") return " ";
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}
