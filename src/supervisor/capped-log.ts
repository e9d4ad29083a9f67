/** A log file that cannot grow beyond its cap: when it is full it becomes `<file>.1` and a new one begins. */
import { appendFileSync, closeSync, openSync, renameSync, writeSync } from "node:fs";

/** Size of one of the two files, `bytes`. */
export const LOG_CAP_BYTES = 1024 * 1024;

export class CappedLog {
  readonly #file: string;
  #descriptor: number;
  #bytes = 0;

  constructor(file: string) {
    this.#file = file;
    this.#descriptor = openSync(file, "a", 0o600);
  }

  /** Never throws: a full disk must not end what is being logged. */
  write(data: Buffer | string): void {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    try {
      if (this.#bytes + bytes.length > LOG_CAP_BYTES) this.#rotate();
      writeSync(this.#descriptor, bytes.subarray(0, LOG_CAP_BYTES));
      this.#bytes += bytes.length;
    } catch {
      this.#bytes += bytes.length; // No room on the disk: these lines are lost.
    }
  }

  #rotate(): void {
    closeSync(this.#descriptor);
    renameSync(this.#file, `${this.#file}.1`);
    this.#descriptor = openSync(this.#file, "a", 0o600);
    this.#bytes = 0;
  }
}

/** One line with its time in the supervisor's own log. */
export function logLine(file: string, message: string): void {
  const line = `${JSON.stringify({ time: Date.now(), message })}\n`;
  try {
    appendFileSync(file, line, { mode: 0o600 });
  } catch {
    // No room on the disk: the line is lost, the sandbox is not.
  }
}
