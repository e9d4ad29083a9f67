/** A log file that cannot grow beyond its cap: when it is full it becomes `<file>.1` and a new one begins. */
import {
  appendFileSync,
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";

/** Size of one of the two files, `bytes`. */
export const LOG_CAP_BYTES = 1024 * 1024;

/** Longest message of the supervisor; some quote what others said. */
const MAX_MESSAGE_CHARS = 16 * 1024;

export class CappedLog implements Disposable {
  readonly #file: string;
  /** `null` when there is no file to write to: after the end, or when a new one could not be begun. */
  #descriptor: number | null;
  #bytes: number;
  readonly #capBytes: number;

  constructor(file: string, capBytes = LOG_CAP_BYTES) {
    this.#file = file;
    this.#capBytes = capBytes;
    this.#descriptor = openSync(file, "a", 0o600);
    this.#bytes = fstatSync(this.#descriptor).size;
  }

  /** Never throws: a full disk must not end what is being logged. */
  write(data: Buffer | string): void {
    if (this.#descriptor === null) return;
    const bytes = (typeof data === "string" ? Buffer.from(data) : data).subarray(0, this.#capBytes);
    try {
      if (this.#bytes + bytes.length > this.#capBytes) this.#rotate(this.#descriptor);
      this.#bytes += writeSync(this.#descriptor, bytes);
    } catch {
      // No room on the disk: these lines are lost.
    }
  }

  [Symbol.dispose](): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  /**
   * The new file is open before the old one is closed: a closed descriptor's number soon belongs to something else, and
   * what is written here was chosen by the guest.
   */
  #rotate(old: number): void {
    renameSync(this.#file, `${this.#file}.1`);
    this.#descriptor = openSync(this.#file, "a", 0o600);
    this.#bytes = 0;
    closeSync(old);
  }
}

/**
 * One line with its time in the supervisor's own log, which has the same cap.
 *
 * That file is the process's stderr too, where Node says why it crashes: it stays the same file and is emptied when it
 * is full, after its end was copied to `<file>.1`.
 */
export function logLine(file: string, message: string): void {
  const line = `${JSON.stringify({ time: Date.now(), message: message.slice(0, MAX_MESSAGE_CHARS) })}\n`;
  try {
    const { size } = statSync(file, { throwIfNoEntry: false }) ?? { size: 0 };
    if (size + Buffer.byteLength(line) > LOG_CAP_BYTES) empty(file, size);
    appendFileSync(file, line, { mode: 0o600 });
  } catch {
    // No room on the disk: the line is lost, the sandbox is not.
  }
}

function empty(file: string, size: number): void {
  const descriptor = openSync(file, "r+");
  try {
    const start = Math.max(0, size - LOG_CAP_BYTES);
    const end = Buffer.alloc(size - start);
    const read = readSync(descriptor, end, 0, end.length, start);
    writeFileSync(`${file}.1`, end.subarray(0, read), { mode: 0o600 });
    ftruncateSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
