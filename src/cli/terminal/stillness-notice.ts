/**
 * A screen that does not answer to keys may be that of a sandbox that stands still. After some seconds the runtime is
 * asked, and the last line of the screen says so until it goes on.
 */
import type { OutputStream } from "../context.ts";
import { terminalSize } from "./terminal.ts";

/** A key that nothing answers for so long makes us ask, `ms`. */
export const PATIENCE_MS = 2000;
/** How often to ask while the notice is there, `ms`. */
export const LOOK_AGAIN_MS = 1000;

export interface StillnessOptions {
  stdout: OutputStream;
  /** When the guest last wrote something, as `performance.now()` has it, `ms`. */
  lastOutputAt: () => number;
  /** Says why the sandbox stands still; undefined if it does not, or that is not known. Never rejects. */
  ask: () => Promise<string | undefined>;
  /** Has the program draw its screen anew. */
  redraw: () => void;
}

export class StillnessNotice implements Disposable {
  readonly #options: StillnessOptions;
  #timer: NodeJS.Timeout | undefined;
  #isShown = false;
  #isOver = false;

  constructor(options: StillnessOptions) {
    this.#options = options;
  }

  /** The user has typed something. */
  onKey(): void {
    if (this.#timer !== undefined || this.#isOver) return;
    const keyAt = performance.now();
    this.#after(PATIENCE_MS, () => this.#options.lastOutputAt() < keyAt);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    if (this.#isShown) this.#hide();
  }

  #after(ms: number, isDoubtful: () => boolean): void {
    this.#timer = setTimeout(() => {
      void this.#look(isDoubtful);
    }, ms).unref();
  }

  async #look(isDoubtful: () => boolean): Promise<void> {
    const reason = isDoubtful() ? await this.#options.ask() : undefined;
    this.#timer = undefined;
    if (this.#isOver) return;
    if (reason !== undefined) {
      // Each time: what the guest still had to say may have been drawn over it.
      this.#show(reason);
      this.#after(LOOK_AGAIN_MS, () => true);
    } else if (this.#isShown) {
      this.#hide();
      this.#options.redraw();
    }
  }

  #show(reason: string): void {
    const { cols } = terminalSize(this.#options.stdout);
    this.#isShown = true;
    this.#onLastLine(`\u001b[0;7m${` ${reason} `.slice(0, cols - 1)}\u001b[0m`);
  }

  #hide(): void {
    this.#isShown = false;
    this.#onLastLine("");
  }

  /** Writes over the last line; the cursor, and how it draws, are as before. */
  #onLastLine(text: string): void {
    const { rows } = terminalSize(this.#options.stdout);
    this.#options.stdout.write(`\u001b7\u001b[${rows};1H\u001b[0m\u001b[2K${text}\u001b8`);
  }
}
