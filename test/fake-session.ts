/** A process of a fake guest: a function of this one. */
import { PassThrough, type Readable, type Writable } from "node:stream";
import type { ExecSession } from "../src/runtime/runtime.ts";
import type { ExecSpec, ExitStatus } from "../src/runtime/types.ts";

/** What a program of the fake guest sees. */
export interface FakeProcess {
  spec: ExecSpec;
  stdin: Readable | null;
  stdout: Writable;
  stderr: Writable;
  /** Signals that were sent, in order. */
  signals: string[];
  /** Called for each signal; SIGKILL ends the process by itself. */
  onSignal: (listener: (name: string) => void) => void;
  onResize: (listener: (cols: number, rows: number) => void) => void;
}

/** A program; the number is its exit status. */
export type FakeProgram = (process: FakeProcess) => Promise<number | ExitStatus> | number | ExitStatus;

export class FakeSession implements ExecSession {
  readonly pid = 1234;
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exit: Promise<ExitStatus>;
  readonly #signals: string[] = [];
  readonly #onSignal: ((name: string) => void)[] = [];
  readonly #onResize: ((cols: number, rows: number) => void)[] = [];
  readonly #killed = Promise.withResolvers<ExitStatus>();

  constructor(spec: ExecSpec, program: FakeProgram) {
    const stdin = spec.stdin === true || spec.tty !== undefined ? new PassThrough() : null;
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    this.stdin = stdin;
    this.stdout = stdout;
    this.stderr = stderr;
    const process: FakeProcess = {
      spec,
      stdin,
      stdout,
      stderr,
      signals: this.#signals,
      onSignal: (listener) => this.#onSignal.push(listener),
      onResize: (listener) => this.#onResize.push(listener),
    };
    const ran = (async () => program(process))().then((result) =>
      typeof result === "number" ? { code: result, signal: null, oom: null } : result,
    );
    this.exit = Promise.race([ran, this.#killed.promise]).finally(() => {
      stdout.end();
      stderr.end();
    });
    // A command that ends with an error of its own may never look at it.
    this.exit.catch(() => undefined);
  }

  resize(cols: number, rows: number): void {
    for (const listener of this.#onResize) listener(cols, rows);
  }

  signal(name: string): void {
    this.#signals.push(name);
    for (const listener of this.#onSignal) listener(name);
    if (name === "SIGKILL") this.#killed.resolve({ code: 137, signal: "SIGKILL", oom: null });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#killed.resolve({ code: 137, signal: "SIGKILL", oom: null });
  }
}
