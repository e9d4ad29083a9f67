/** Runs the program under test, `bin/run.js`, as a process of its own, on the Node that the tests run on. */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import path from "node:path";

export const PROJECT_PATH = path.resolve(import.meta.dirname, "../../..");
export const PROGRAM = [process.execPath, path.join(PROJECT_PATH, "bin", "run.js")] as const;

/** A command that hangs must fail its own test, not the whole run, `ms`. */
const DEFAULT_DEADLINE_MS = 120_000;

export interface Outcome {
  /** 128 plus the signal's number where a signal ended it, as a shell says it. */
  status: number;
  stdout: string;
  stderr: string;
  /** Stdout as it came. */
  bytes: Buffer;
}

export interface RunOptions {
  env: NodeJS.ProcessEnv;
  cwd?: string;
  input?: string | Buffer;
  deadlineMs?: number;
}

/** Starts it with pipes for all three streams. The caller waits for its end. */
export function startProgram(args: readonly string[], options: RunOptions): ChildProcessWithoutNullStreams {
  return start([...PROGRAM, ...args], options);
}

/** Runs it to its end. */
export async function runProgram(args: readonly string[], options: RunOptions): Promise<Outcome> {
  return collect(startProgram(args, options), `sbx ${args.join(" ")}`, options);
}

/** Runs any command of the host to its end. */
export async function runHost(
  argv: readonly [string, ...string[]],
  options: Partial<RunOptions> = {},
): Promise<Outcome> {
  const complete = { env: process.env, ...options };
  return collect(start(argv, complete), argv.join(" "), complete);
}

function start(argv: readonly string[], options: RunOptions): ChildProcessWithoutNullStreams {
  const [file = "", ...rest] = argv;
  const cwd = options.cwd === undefined ? {} : { cwd: options.cwd };
  return spawn(file, rest, { env: options.env, stdio: ["pipe", "pipe", "pipe"], ...cwd });
}

/** Feeds stdin, gathers the output and waits. */
export async function collect(
  child: ChildProcessWithoutNullStreams,
  title: string,
  options: Partial<RunOptions> = {},
): Promise<Outcome> {
  const { input = "", deadlineMs = DEFAULT_DEADLINE_MS } = options;
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  child.stdin.on("error", () => undefined); // it may end without having read all of its input
  child.stdin.end(input);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once("error", reject);
  child.once("close", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : (SIGNAL_NUMBERS[signal] ?? 0))));
  const timer = setTimeout(() => {
    child.kill("SIGKILL");
    const said = Buffer.concat([...out, ...err])
      .toString()
      .slice(-2000);
    reject(new Error(`${title} did not end within ${deadlineMs / 1000} s; it said: ${said}`));
  }, deadlineMs);
  try {
    const status = await promise;
    const bytes = Buffer.concat(out);
    return { status, stdout: bytes.toString(), stderr: Buffer.concat(err).toString(), bytes };
  } finally {
    clearTimeout(timer);
  }
}

const SIGNAL_NUMBERS: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};
