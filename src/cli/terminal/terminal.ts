/**
 * The user's terminal while a guest's program has it: raw input, changes of size, and everything as it was afterwards.
 */
import { spawnSync } from "node:child_process";
import type { InputStream, OutputStream, SignalSource } from "../context.ts";
import { undoLater } from "./restore.ts";

export interface TerminalSize {
  cols: number;
  rows: number;
}

const DEFAULT_SIZE: TerminalSize = { cols: 80, rows: 24 };

/** A terminal whose line is stopped must not stop sbx, `ms`. */
const STTY_LIMIT_MS = 1000;

/** Largest size that is passed on; a PTY's own fields have 16 bits. */
const MAX_CELLS = 65_535;

/** The size of the terminal, or what terminals used to have where it is not known. */
export function terminalSize(stdout: OutputStream): TerminalSize {
  const cell = (value: number | undefined, otherwise: number): number =>
    value === undefined || value < 1 ? otherwise : Math.min(value, MAX_CELLS);
  return { cols: cell(stdout.columns, DEFAULT_SIZE.cols), rows: cell(stdout.rows, DEFAULT_SIZE.rows) };
}

export interface TerminalOptions {
  stdin: InputStream;
  stdout: OutputStream;
  signals: SignalSource;
  onResize: (size: TerminalSize) => void;
  /** The program was stopped and goes on: what is on the screen is no longer the guest's. */
  onResume: () => void;
}

/**
 * Node's raw mode lets the terminal go on turning a line feed into carriage return and line feed. The guest's PTY has
 * done that where it is meant; a program that moves the cursor straight down with a bare line feed would be drawn wrong.
 * Leaving raw mode puts everything back.
 */
function passOutputUnchanged({ fd }: InputStream): void {
  if (fd !== undefined) spawnSync("stty", ["-opost"], { stdio: [fd, "ignore", "ignore"], timeout: STTY_LIMIT_MS });
}

/**
 * Puts the terminal into raw mode and reports its size whenever it changes, until disposed. Streams that are no
 * terminals are left alone.
 */
export function takeTerminal(options: TerminalOptions): Disposable & { release(): void } {
  const { stdin, stdout, signals, onResize, onResume } = options;
  const setRaw = (raw: boolean): void => {
    if (stdin.isTTY !== true) return;
    stdin.setRawMode?.(raw);
    if (raw) passOutputUnchanged(stdin);
  };
  const resize = (): void => onResize(terminalSize(stdout));
  const afterStop = (): void => {
    // A shell that brings a stopped program back has its own idea of the terminal's modes.
    setRaw(true);
    onResume();
  };
  setRaw(true);
  const undo = undoLater(() => setRaw(false));
  stdout.on("resize", resize);
  signals.on("SIGCONT", afterStop);
  return {
    /** For as long as the program is stopped. */
    release: () => setRaw(false),
    [Symbol.dispose]: () => {
      stdout.off("resize", resize);
      signals.off("SIGCONT", afterStop);
      undo[Symbol.dispose]();
    },
  };
}
