/** Runs one command of a model in a sandbox: bounded in time and in what is kept of its output. */
import type { ExecSession, Sandbox } from "../runtime/runtime.ts";
import type { ExecSpec } from "../runtime/types.ts";
import { abortedError } from "../runtime/abort.ts";
import { BoundedOutput } from "./bounded-output.ts";

/** How often a command that runs tells of itself, `ms`. */
const PROGRESS_INTERVAL_MS = 2_000;
/** A process that cannot be killed is not waited for any longer, `ms`. */
const KILL_GRACE_MS = 5_000;

export interface CommandRequest {
  spec: ExecSpec;
  stdin: string | undefined;
  limitMs: number;
  signal: AbortSignal;
  onProgress: (message: string) => void;
}

export interface CommandResult {
  /** `null` where it was ended by a signal that it did not answer. */
  exit_code: number | null;
  signal: string | null;
  timed_out: boolean;
  out_of_memory: boolean;
  stdout: string;
  stderr: string;
  /** Bytes between the beginning and the end that are shown. */
  stdout_omitted_bytes: number;
  stderr_omitted_bytes: number;
  duration_ms: number;
}

/** @throws SbxError where it does not start, or the link to the sandbox breaks; `aborted` when the call is cancelled */
export async function runCommand(sandbox: Sandbox, request: CommandRequest): Promise<CommandResult> {
  const { signal } = request;
  const startedAt = performance.now();
  await using session = await sandbox.exec({ ...request.spec, stdin: request.stdin !== undefined }, { signal });
  const stdout = new BoundedOutput();
  const stderr = new BoundedOutput();
  feed(session, request.stdin);
  using watch = new Watch(session, request, () => stdout.bytes + stderr.bytes);
  const ended = Promise.all([session.exit, stdout.drain(session.stdout), stderr.drain(session.stderr)]);
  // Where it is not waited for, its failure is nobody's.
  ended.catch(() => undefined);
  const result = await Promise.race([ended, watch.gaveUp]);
  if (signal.aborted) throw abortedError(signal, "the command");
  const exit = result?.[0];
  const [out, err] = [stdout.read(), stderr.read()];
  return {
    exit_code: exit?.code ?? null,
    signal: exit?.signal ?? null,
    timed_out: watch.timedOut,
    out_of_memory: (exit?.oom ?? null) !== null,
    stdout: out.text,
    stderr: err.text,
    stdout_omitted_bytes: out.omittedBytes,
    stderr_omitted_bytes: err.omittedBytes,
    duration_ms: Math.round(performance.now() - startedAt),
  };
}

function feed(session: ExecSession, text: string | undefined): void {
  // A command may end without having read its input.
  session.stdin?.on("error", () => undefined);
  session.stdin?.end(text);
}

/** Ends the command when its time is over or the call is cancelled, and tells meanwhile that it still runs. */
class Watch implements Disposable {
  timedOut = false;
  /** Settles when the command was killed and does not end. */
  readonly gaveUp: Promise<undefined>;
  readonly #session: ExecSession;
  readonly #signal: AbortSignal;
  readonly #giveUp: () => void;
  readonly #limit: NodeJS.Timeout;
  readonly #progress: NodeJS.Timeout;
  #grace: NodeJS.Timeout | undefined;

  constructor(session: ExecSession, { limitMs, signal, onProgress }: CommandRequest, outputBytes: () => number) {
    this.#session = session;
    this.#signal = signal;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.gaveUp = promise;
    this.#giveUp = () => resolve(undefined);
    this.#limit = setTimeout(() => {
      this.timedOut = true;
      this.#kill();
    }, limitMs);
    const startedAt = performance.now();
    this.#progress = setInterval(() => {
      const seconds = Math.round((performance.now() - startedAt) / 1000);
      onProgress(`running for ${seconds} s, ${outputBytes()} bytes of output`);
    }, PROGRESS_INTERVAL_MS);
    signal.addEventListener("abort", this.#kill);
    if (signal.aborted) this.#kill();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#limit);
    clearTimeout(this.#grace);
    clearInterval(this.#progress);
    this.#signal.removeEventListener("abort", this.#kill);
  }

  readonly #kill = (): void => {
    this.#session.signal("SIGKILL");
    this.#grace ??= setTimeout(this.#giveUp, KILL_GRACE_MS);
  };
}
