/**
 * Runs the host programs that make an image. Arguments stay an array; output is bounded; an abort ends the program with
 * everything it started. Their output is text of packages and tools: it is kept for error messages, never interpreted
 * by a shell.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const MAX_STDOUT_BYTES = 64 * 1024 * 1024;
/** As much of stderr as an error message may need. */
const KEPT_LINES = 40;
/** From SIGTERM to SIGKILL, `ms`. */
const GRACE_MS = 3000;

export type Argv = readonly [string, ...string[]];

export interface CommandOptions {
  signal?: AbortSignal | undefined;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  stdin?: Readable | Buffer | string;
  /** Receives each line of stderr as it comes. */
  onLine?: (line: string) => void;
}

/** A program that could not be started or did not end with status 0. */
export class CommandFailure extends Error {
  readonly program: string;
  /** The last lines of its stderr. */
  readonly output: string;
  constructor(program: string, reason: string, output: string) {
    super(`${program} ${reason}`);
    this.name = "CommandFailure";
    this.program = program;
    this.output = output;
  }
}

/** `PATH` with the directories that an ordinary user's lacks; mke2fs and chroot live there. */
export function toolPath(): string {
  return `${process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"}:/usr/local/sbin:/usr/sbin:/sbin`;
}

/**
 * Runs a program to its end and returns its stdout.
 *
 * @throws CommandFailure; the signal's reason when it was aborted
 */
export async function runCommand(argv: Argv, options: CommandOptions = {}): Promise<Buffer> {
  options.signal?.throwIfAborted();
  const [program, ...args] = argv;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.env ?? { ...process.env, PATH: toolPath() },
    // A group of its own, so that an abort reaches what the program started too.
    detached: true,
    stdio: [options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const stopKilling = killOnAbort(child, options.signal);
  const ended = exitOf(child);
  // Handled below; without this a program that cannot be started would end the process while its pipes are read.
  ended.catch(() => undefined);
  try {
    const [stdout, tail] = await Promise.all([
      collectStdout(child),
      collectTail(child, options.onLine),
      feed(child, options.stdin),
    ]);
    const reason = await ended.catch((error: unknown) => `could not be started: ${messageOf(error)}`);
    options.signal?.throwIfAborted();
    if (reason !== null) throw new CommandFailure(program, reason, tail);
    return stdout;
  } finally {
    stopKilling();
  }
}

/** `null` for status 0, else what happened, in words. */
async function exitOf(child: ChildProcess): Promise<string | null> {
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === 0) resolve(null);
      else resolve(signal === null ? `ended with status ${String(code)}` : `was ended by ${signal}`);
    });
  });
}

async function collectStdout(child: ChildProcess): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of child.stdout ?? []) {
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > MAX_STDOUT_BYTES) throw new Error(`output beyond ${MAX_STDOUT_BYTES} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

async function collectTail(child: ChildProcess, onLine: ((line: string) => void) | undefined): Promise<string> {
  const kept: string[] = [];
  if (child.stderr === null) return "";
  for await (const line of createInterface({ input: child.stderr, crlfDelay: Infinity })) {
    onLine?.(line);
    kept.push(line);
    if (kept.length > KEPT_LINES) kept.shift();
  }
  return kept.join("\n");
}

async function feed(child: ChildProcess, input: CommandOptions["stdin"]): Promise<void> {
  if (child.stdin === null || input === undefined) return;
  const source = typeof input === "string" || Buffer.isBuffer(input) ? [input] : input;
  try {
    await pipeline(source, child.stdin);
  } catch (error) {
    // A program that ends early closes its stdin; its exit status tells the story better.
    if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
  }
}

function killOnAbort(child: ChildProcess, signal: AbortSignal | undefined): () => void {
  let timer: NodeJS.Timeout | undefined;
  const abort = (): void => {
    killGroup(child, "SIGTERM");
    timer = setTimeout(() => killGroup(child, "SIGKILL"), GRACE_MS);
  };
  signal?.addEventListener("abort", abort, { once: true });
  return () => {
    signal?.removeEventListener("abort", abort);
    if (timer !== undefined) clearTimeout(timer);
    // Whatever went wrong while it was read: nothing that was started here goes on.
    if (child.exitCode === null && child.signalCode === null) killGroup(child, "SIGKILL");
  };
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
