/**
 * What a session with a terminal has beside its streams: raw input with a way out, the size, and a word when the sandbox
 * stands still.
 */
import { Transform, type Readable, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ExecSession } from "../../runtime/runtime.ts";
import type { CommandContext } from "../context.ts";
import { EscapeKeys, type EscapeAction } from "../terminal/escape-keys.ts";
import type { Screen } from "../terminal/screen.ts";
import { StillnessNotice } from "../terminal/stillness-notice.ts";
import { takeTerminal, terminalSize } from "../terminal/terminal.ts";

export interface SessionTerminalOptions {
  context: Pick<CommandContext, "stdin" | "stdout" | "stderr" | "signals" | "suspend">;
  session: Pick<ExecSession, "resize">;
  screen: Screen;
  /** First of the two keys that get out of a session; undefined for none. */
  escapeKey: string | undefined;
  askWhyStill: () => Promise<string | undefined>;
}

export class SessionTerminal implements Disposable {
  /** Settles when the user wants to leave whatever the guest does. */
  readonly leave: Promise<void>;
  readonly #options: SessionTerminalOptions;
  readonly #terminal: ReturnType<typeof takeTerminal>;
  readonly #stillness: StillnessNotice;
  readonly #keys: EscapeKeys;
  readonly #leave: () => void;
  #comeBack: () => void = () => undefined;

  constructor(options: SessionTerminalOptions) {
    const { context, session, screen, askWhyStill, escapeKey } = options;
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.leave = promise;
    this.#leave = resolve;
    this.#terminal = takeTerminal({
      ...context,
      onResize: ({ cols, rows }) => session.resize(cols, rows),
      onResume: () => {
        this.#comeBack();
        this.#redraw();
      },
    });
    this.#stillness = new StillnessNotice({
      stdout: context.stdout,
      lastOutputAt: () => screen.lastOutputAt,
      ask: askWhyStill,
      redraw: () => this.#redraw(),
    });
    // Where nobody sits, nobody presses keys.
    const isKeyboard = context.stdin.isTTY === true;
    this.#keys = new EscapeKeys(isKeyboard ? escapeKey : undefined, (action) => this.#act(action));
  }

  /** The keys that are the guest's. It counts as the terminal that it is of, when that is hung up. */
  keysOf(source: Readable & { isTTY?: boolean | undefined }): Readable & { isTTY?: boolean | undefined } {
    const filter = new KeyFilter((keys) => {
      this.#stillness.onKey();
      return this.#keys.feed(keys);
    });
    pipeline(source, filter).catch(() => undefined);
    return Object.assign(filter, { isTTY: source.isTTY });
  }

  [Symbol.dispose](): void {
    this.#stillness[Symbol.dispose]();
    this.#terminal[Symbol.dispose]();
  }

  #act(action: EscapeAction): void {
    const { context, screen, escapeKey = "" } = this.#options;
    switch (action) {
      case "disconnect":
        this.#leave();
        return;
      case "suspend":
        this.#comeBack = screen.stepAside();
        this.#terminal.release();
        // SIGCONT has the terminal taken again.
        context.suspend();
        return;
      case "help":
        context.stderr.write(helpText(escapeKey));
    }
  }

  /** A window that changes its size has everything drawn again; one that is told its old size has not. */
  #redraw(): void {
    const { context, session } = this.#options;
    const { cols, rows } = terminalSize(context.stdout);
    session.resize(cols, rows === 1 ? 2 : rows - 1);
    session.resize(cols, rows);
  }
}

function helpText(key: string): string {
  const lines = [
    "",
    "Keys for sbx itself, after Enter:",
    `  ${key}.   leave: hang up, whatever the command does`,
    `  ${key}^Z  suspend sbx`,
    `  ${key}${key}   type ${key}`,
    `  ${key}?   this text`,
    "",
  ];
  return lines.join("\r\n");
}

class KeyFilter extends Transform {
  readonly #pass: (keys: Buffer) => Buffer;

  constructor(pass: (keys: Buffer) => Buffer) {
    super();
    this.#pass = pass;
  }

  override _transform(keys: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const passed = this.#pass(keys);
    done(null, passed.length === 0 ? undefined : passed);
  }
}
