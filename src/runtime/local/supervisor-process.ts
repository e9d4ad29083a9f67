/** Starts a supervisor and follows its answers; the other end is src/supervisor/launch-channel.ts. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { compileCachePath } from "../../host/compile-cache.ts";
import { launcherPath, packageRoot } from "../../host/package-root.ts";
import { COMMIT_LINE, MAX_LINE_BYTES, type Launch, type LaunchAnswer } from "../../protocol/launch.ts";
import { hostArchitecture } from "../../vm/image/recipe.ts";
import { prestartCommand } from "../../vm/prestarted-machine.ts";
import { abortedError } from "../abort.ts";
import { SbxError, fromErrorRecord } from "../errors.ts";
import type { SandboxInfo } from "../types.ts";

/**
 * A supervisor is small: these keep its heap so (measured in docs/performance.md). With less than 4 MiB for young objects
 * each request that is read costs a fifth more, as the collector runs within it.
 */
export const NODE_FLAGS: readonly string[] = [
  "--disable-warning=ExperimentalWarning",
  "--max-semi-space-size=4",
  "--max-old-space-size=1024",
];

/** A supervisor that is hung up on takes its machine down at once; one that cannot is ended, `ms`. */
const ABANDON_DEADLINE_MS = 5_000;

export interface StartedSupervisor {
  readonly pid: number;
  /** What was made, `null` for a template. */
  readonly info: SandboxInfo | null;
  /** Tells it to live on without this process. */
  commit(): Promise<void>;
  /** Takes it down again, by hanging up; settles when it is gone. */
  abandon(): Promise<void>;
}

export interface StartSupervisorOptions {
  logPath: string;
  onProgress?: (message: string) => void;
  signal?: AbortSignal | undefined;
  /** Called in the moment the process is there, so that it can be recorded. */
  onStarted?: (pid: number) => void;
  /** Called when clients may connect, before it is ready. */
  onDoor?: () => void;
  /** A machine to be started along with it, and what its agent reads first. */
  machine?: { command: string[]; statePath: string; greeting: Buffer };
}

/**
 * Starts it and waits until it is ready.
 *
 * @throws SbxError what the supervisor reports, `supervisor_lost` when it dies without a word, `aborted`
 */
export async function startSupervisor(launch: Launch, options: StartSupervisorOptions): Promise<StartedSupervisor> {
  const log = openSync(options.logPath, "a", 0o600);
  let child: ChildProcess;
  try {
    const [program, ...words] = startCommand(options.machine);
    child = spawn(program, words, {
      detached: true,
      cwd: "/",
      stdio: ["pipe", "ignore", log, "pipe"],
      env: supervisorEnvironment(),
    });
  } finally {
    closeSync(log);
  }
  let failure: Error | undefined;
  child.on("error", (error) => (failure = error)); // no process: the answers never come
  const input = child.stdin;
  const answers = child.stdio[3] as Readable | null | undefined;
  if (input === null || !answers || child.pid === undefined) {
    await new Promise((resolve) => setImmediate(resolve)); // the reason comes as an event
    throw new SbxError("supervisor_lost", "the supervisor could not be started", {
      cause: failure,
      hint: "sbx doctor",
    });
  }
  input.on("error", () => undefined); // it died: the answers say so
  const started = handle(child, child.pid, input, answers);
  try {
    options.onStarted?.(child.pid);
    if (options.machine !== undefined) input.write(options.machine.greeting);
    input.write(`${JSON.stringify(launch)}\n`);
    const info = await untilReady(answers, options);
    return { ...started, info };
  } catch (error) {
    await started.abandon();
    throw error;
  }
}

function handle(child: ChildProcess, pid: number, input: Writable, answers: Readable): Omit<StartedSupervisor, "info"> {
  const letGo = (): void => {
    answers.destroy();
    child.unref();
  };
  return {
    pid,
    async commit() {
      await new Promise<void>((resolve) => input.end(`${COMMIT_LINE}\n`, () => resolve()));
      letGo();
    },
    async abandon() {
      input.destroy();
      answers.resume();
      const timer = setTimeout(() => child.kill("SIGKILL"), ABANDON_DEADLINE_MS);
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      clearTimeout(timer);
      letGo();
    },
  };
}

async function untilReady(answers: Readable, options: StartSupervisorOptions): Promise<SandboxInfo | null> {
  const { signal, onProgress, onDoor } = options;
  const { promise, resolve, reject } = Promise.withResolvers<SandboxInfo | null>();
  const onAbort = (): void => reject(abortedError(signal, "starting the sandbox"));
  signal?.addEventListener("abort", onAbort);
  let buffer = "";
  answers.setEncoding("utf8");
  answers.on("data", (chunk: string) => {
    buffer += chunk;
    const lines = buffer.split("\n");
    buffer = lines.pop() ?? "";
    if (buffer.length > MAX_LINE_BYTES) reject(new SbxError("supervisor_lost", "the supervisor speaks nonsense"));
    for (const line of lines) {
      const answer = parseAnswer(line);
      if (answer === undefined) reject(new SbxError("supervisor_lost", "the supervisor speaks nonsense"));
      else if (answer.type === "ready") resolve(answer.info as SandboxInfo | null);
      else if (answer.type === "door") onDoor?.();
      else if (answer.type === "failed") reject(fromErrorRecord(answer.error));
      else onProgress?.(answer.message);
    }
  });
  answers.on("close", () => {
    reject(
      new SbxError("supervisor_lost", `the supervisor died while it started the sandbox (see ${options.logPath})`, {
        hint: "sbx doctor",
      }),
    );
  });
  try {
    if (signal?.aborted === true) onAbort();
    return await promise;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

function parseAnswer(line: string): LaunchAnswer | undefined {
  try {
    return JSON.parse(line) as LaunchAnswer;
  } catch {
    return undefined; // Not JSON: it is not a supervisor of this version.
  }
}

function startCommand(machine: StartSupervisorOptions["machine"]): [string, ...string[]] {
  const supervisor: [string, ...string[]] = [process.execPath, ...NODE_FLAGS, supervisorScript()];
  if (machine === undefined) return supervisor;
  return prestartCommand(
    launcherPath(hostArchitecture()),
    machine.statePath,
    machine.greeting.length,
    machine.command,
    supervisor,
  );
}

/** The bundle's supervisor, or the source's when sbx runs from its sources. */
function supervisorScript(): string {
  const fromSource = import.meta.filename.endsWith(".ts");
  return path.join(packageRoot(), fromSource ? "src/supervisor/main.ts" : "dist/supervisor.js");
}

/** Nothing of the user's environment is needed, and it may hold secrets. */
function supervisorEnvironment(): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    LANG: "C.UTF-8",
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? compileCachePath(),
  };
}
