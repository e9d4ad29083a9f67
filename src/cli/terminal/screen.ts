/**
 * The user's terminal as a guest's output sees it. Output that goes anywhere else passes untouched. At the end, however
 * it comes, what the guest left on is turned off.
 */
import { type Readable, Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { OutputStream } from "../context.ts";
import { ModeTracker } from "./mode-tracker.ts";
import { undoLater } from "./restore.ts";
import { ScreenGuard } from "./screen-guard.ts";

/** What waits between the sandbox and the terminal: little, so that what was interrupted ends soon. */
const WAITING_BYTES = 16 * 1024;
/** Ends whatever sequence is under way: cancel, string terminator. */
const END_ANY_SEQUENCE = "\u0018\u001b\\";

export interface ScreenOptions {
  stdout: OutputStream;
  stderr: OutputStream;
  /** Hands everything on, also what could do harm. */
  unfiltered: boolean;
}

export class Screen implements Disposable {
  readonly #options: ScreenOptions;
  readonly #tracker = new ModeTracker();
  readonly #guards: ScreenGuard[] = [];
  readonly #undo: Disposable;
  #endsLine = false;
  /** When the guest last wrote something, as `performance.now()` has it, `ms`. */
  lastOutputAt = performance.now();

  constructor(options: ScreenOptions) {
    this.#options = options;
    this.#undo = undoLater(() => this.#reset());
  }

  /** The output in the form in which it goes to `destination`. */
  guard(source: Readable, destination: OutputStream): Readable {
    if (destination.isTTY !== true) return source;
    const guard = new ScreenGuard(this.#tracker);
    this.#guards.push(guard);
    const { unfiltered } = this.#options;
    const filter = new ScreenFilter((chunk) => {
      this.lastOutputAt = performance.now();
      const shown = guard.pass(chunk);
      return unfiltered ? chunk : shown;
    });
    // Whatever ends one of them ends the other; who reads the filter is told why.
    pipeline(source, filter).catch(() => undefined);
    return filter;
  }

  /** Puts the terminal right for a while. The result has it as the guest wants it again. */
  stepAside(): () => void {
    const { reset, restoration } = this.#tracker;
    this.#write(reset);
    return () => this.#write(restoration);
  }

  /** The session is broken off, most likely within a line, and something is to be said about that. */
  breakOff(): void {
    this.#endsLine = true;
  }

  /** Turns off what the guest left on. */
  [Symbol.dispose](): void {
    this.#undo[Symbol.dispose]();
  }

  #reset(): void {
    const { unfiltered } = this.#options;
    const unfinished = this.#guards.some((guard) => guard.isUnfinished);
    const end = unfinished ? (unfiltered ? END_ANY_SEQUENCE : "\u001b\\") : "";
    // Behind the alternate screen the cursor is where the command was started.
    const newLine = this.#endsLine && !this.#tracker.isOnAlternateScreen ? "\r\n" : "";
    this.#write(end + this.#tracker.takeReset() + newLine);
  }

  #write(text: string): void {
    const { stdout, stderr } = this.#options;
    const terminal = [stdout, stderr].find((stream) => stream.isTTY === true);
    if (text !== "") terminal?.write(text);
  }
}

class ScreenFilter extends Transform {
  readonly #pass: (chunk: Buffer) => Buffer;

  constructor(pass: (chunk: Buffer) => Buffer) {
    super({ readableHighWaterMark: WAITING_BYTES, writableHighWaterMark: WAITING_BYTES });
    this.#pass = pass;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const shown = this.#pass(chunk);
    done(null, shown.length === 0 ? undefined : shown);
  }
}
