/**
 * A screen that is drawn again and again, with keys. It is the terminal's alternate one: what was there before is there
 * again afterwards, whatever happens meanwhile (names: the xterm control sequences document).
 */
import type { InputStream, OutputStream, SignalSource } from "../context.ts";
import { undoLater } from "../terminal/restore.ts";

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";
const DEFAULT_ROWS = 24;

export interface LiveScreenOptions {
  stdin: InputStream;
  stdout: OutputStream;
  signals: SignalSource;
  /** One character each. Ctrl-C and the like come as keys: the terminal is raw. */
  onKey: (key: string) => void;
  /** The screen has another size, or has to be drawn anew. */
  onRedraw: () => void;
}

export class LiveScreen implements Disposable {
  readonly #options: LiveScreenOptions;
  readonly #undo: Disposable;

  constructor(options: LiveScreenOptions) {
    this.#options = options;
    const { stdin, stdout, signals } = options;
    this.#enter();
    this.#undo = undoLater(() => this.#leave());
    if (stdin.isTTY === true) {
      stdin.on("data", this.#read);
      stdin.resume();
    }
    stdout.on("resize", options.onRedraw);
    signals.on("SIGCONT", this.#comeBack);
  }

  /** Shows the beginning of this text, as far as there is room for it. */
  draw(text: string): void {
    const { stdout } = this.#options;
    const rows = Math.max(1, (stdout.rows ?? DEFAULT_ROWS) - 1);
    const lines = text.split("\n").slice(0, rows);
    stdout.write(`${HOME}${lines.map((line) => `${line}${CLEAR_LINE}`).join("\r\n")}\r\n${CLEAR_BELOW}`);
  }

  [Symbol.dispose](): void {
    const { stdin, stdout, signals, onRedraw } = this.#options;
    stdin.off("data", this.#read);
    if (stdin.isTTY === true) stdin.pause();
    stdout.off("resize", onRedraw);
    signals.off("SIGCONT", this.#comeBack);
    this.#undo[Symbol.dispose]();
  }

  readonly #read = (chunk: Buffer | string): void => {
    for (const key of chunk.toString()) this.#options.onKey(key);
  };

  readonly #comeBack = (): void => {
    this.#enter();
    this.#options.onRedraw();
  };

  #enter(): void {
    const { stdin, stdout } = this.#options;
    if (stdin.isTTY === true) stdin.setRawMode?.(true);
    stdout.write(ENTER);
  }

  #leave(): void {
    const { stdin, stdout } = this.#options;
    stdout.write(LEAVE);
    if (stdin.isTTY === true) stdin.setRawMode?.(false);
  }
}
