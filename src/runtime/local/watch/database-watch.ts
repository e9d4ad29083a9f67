/**
 * Waits for writes to the state database without asking it again and again: every write of SQLite in WAL mode goes to a
 * file beside it, which the kernel reports (inotify).
 */
import { statSync, watch, type FSWatcher } from "node:fs";
import path from "node:path";

/** Writes that come together are one, `ms`. */
const SETTLE_MS = 20;

export class DatabaseWatch implements Disposable {
  readonly #file: string;
  readonly #watcher: FSWatcher | undefined;
  readonly #inode: bigint | undefined;
  #changed = true;
  #wake: (() => void) | undefined;

  constructor(file: string) {
    this.#file = file;
    this.#inode = inodeOf(file);
    const name = path.basename(file);
    try {
      // The directory: the log is made and removed as connections come and go.
      this.#watcher = watch(path.dirname(file), (_, changed) => {
        if (changed === null || changed.startsWith(name)) this.#notice();
      });
      this.#watcher.on("error", () => undefined); // `wait` ends by its time then
    } catch {
      this.#watcher = undefined; // No more watches for this user: the same.
    }
  }

  /** Whether another file has taken the database's place: the old one was damaged. */
  get isReplaced(): boolean {
    return inodeOf(this.#file) !== this.#inode;
  }

  /** Settles soon after a write since the last wait, or after this time, or with the signal. */
  async wait(limitMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (!this.#changed && signal?.aborted !== true) await this.#untilChange(limitMs, signal);
    this.#changed = false;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
    this.#wake?.();
  }

  async #untilChange(limitMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, limitMs);
    signal?.addEventListener("abort", this.#stopWaiting);
    await promise;
    signal?.removeEventListener("abort", this.#stopWaiting);
    clearTimeout(timer);
    this.#wake = undefined;
    if (this.#changed) await new Promise((settle) => setTimeout(settle, SETTLE_MS));
  }

  readonly #stopWaiting = (): void => this.#wake?.();

  #notice(): void {
    this.#changed = true;
    this.#wake?.();
  }
}

function inodeOf(file: string): bigint | undefined {
  return statSync(file, { throwIfNoEntry: false, bigint: true })?.ino;
}
