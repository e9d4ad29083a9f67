/** A process in the sandbox: its streams, its signals and its end. Its output is whatever guest code chose. */
import { Readable, type Writable } from "node:stream";
import type { ProcessStatus } from "../../protocol/rpc-methods-process.ts";
import type { RpcParamsInput, RpcResult } from "../../protocol/rpc-methods.ts";
import { TERMINAL_WINDOW_BYTES } from "../../protocol/rpc-limits.ts";
import { SbxError } from "../errors.ts";
import type { ExecSession } from "../runtime.ts";
import type { ExecSpec, ExitStatus } from "../types.ts";
import { execError, guestError } from "./guest-errors.ts";
import { brokenPipe } from "./outbound-stream.ts";
import type { RpcClient } from "./rpc-client.ts";
import type { RpcWritable } from "./rpc-stream.ts";

/** How long dispose waits for a killed process to be reported as gone, `ms`. */
const DISPOSE_WAIT_MS = 5_000;
/** The same where a person waits, who may have left because nothing answers, `ms`. */
const TERMINAL_DISPOSE_WAIT_MS = 1_000;
const DEFAULT_TERM = "xterm-256color";

/**
 * Starts a process. The signal belongs to the session: when it fires, the process group is killed and `exit` tells so.
 *
 * @throws SbxError `command_not_found`, `command_not_executable`, `guest_error`, `aborted`, `connection_closed`
 */
export async function startExec(
  client: RpcClient,
  spec: ExecSpec,
  id: string,
  signal?: AbortSignal,
): Promise<ExecSession> {
  if (!client.hasExtensions && (spec.tty !== undefined || spec.user !== undefined)) {
    throw new SbxError("unsupported", "this sandbox's server offers neither a terminal nor a choice of user");
  }
  const isWired = spec.stdin === true || spec.tty !== undefined;
  const stdin = isWired ? client.openWritable() : null;
  // The process may end, or never start, before its input was read: that is an EPIPE for who writes, not a crash.
  stdin?.on("error", () => undefined);
  try {
    const started = await client.call("spawn", spawnParams(spec, stdin), {
      signal,
      onLate: (late) => undoSpawn(client, late),
    });
    return new RpcExecSession(client, started, { stdin, signal, hasTerminal: spec.tty !== undefined });
  } catch (error) {
    stdin?.destroy();
    throw execError(error, spec, id);
  }
}

/**
 * Starts a process that no connection waits for. Returns its pid.
 *
 * @throws SbxError as {@link startExec}
 */
export async function startInBackground(
  client: RpcClient,
  spec: ExecSpec,
  id: string,
  signal?: AbortSignal,
): Promise<number> {
  if (!client.hasExtensions) {
    throw new SbxError("unsupported", "this sandbox's server does not keep what runs in the background");
  }
  try {
    const params = spawnParams(spec, null);
    const onLate = (late: RpcResult<"spawn">): void => undoSpawn(client, late);
    const { pid } = await client.call(
      "spawn",
      { ...params, sbx: { ...params.sbx, detached: true } },
      { signal, onLate },
    );
    return pid;
  } catch (error) {
    throw execError(error, spec, id);
  }
}

function spawnParams(spec: ExecSpec, stdin: RpcWritable | null): RpcParamsInput<"spawn"> {
  const [command, ...args] = spec.argv;
  const { tty, user } = spec;
  const env = tty === undefined ? spec.env : { TERM: tty.term ?? DEFAULT_TERM, ...spec.env };
  const needsExtensions = tty !== undefined || user !== undefined;
  return {
    command,
    args,
    stdout: "piped",
    stderr: tty === undefined ? "piped" : "null",
    ...(env === undefined ? {} : { env }),
    ...(spec.clearEnv === undefined ? {} : { clearEnv: spec.clearEnv }),
    ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
    ...(stdin === null ? {} : { stdinStreamId: stdin.streamId }),
    ...(needsExtensions
      ? {
          sbx: {
            ...(tty === undefined
              ? {}
              : { pty: { cols: tty.cols, rows: tty.rows, windowBytes: TERMINAL_WINDOW_BYTES } }),
            ...(user === undefined ? {} : { user }),
          },
        }
      : {}),
  };
}

/** A process whose caller was gone before it had started. */
function undoSpawn(client: RpcClient, late: RpcResult<"spawn">): void {
  for (const streamId of [late.stdoutStreamId, late.stderrStreamId]) {
    if (streamId !== null) client.refuseStream(streamId);
  }
  kill(client, late.pid, "SIGKILL");
}

interface SessionParts {
  stdin: Writable | null;
  signal: AbortSignal | undefined;
  hasTerminal: boolean;
}

class RpcExecSession implements ExecSession {
  readonly pid: number;
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exit: Promise<ExitStatus>;
  readonly #client: RpcClient;
  readonly #ended: Promise<void>;
  readonly #hasTerminal: boolean;
  #isEnded = false;

  constructor(client: RpcClient, started: RpcResult<"spawn">, { stdin, signal, hasTerminal }: SessionParts) {
    this.#client = client;
    this.pid = started.pid;
    this.stdin = stdin;
    this.#hasTerminal = hasTerminal;
    const status = client.call("processWait", { pid: this.pid });
    const stdout = openOutput(client, started.stdoutStreamId, hasTerminal ? TERMINAL_WINDOW_BYTES : undefined);
    const stderr = openOutput(client, started.stderrStreamId);
    this.stdout = stdout.stream;
    this.stderr = stderr.stream;
    const onAbort = (): void => this.signal("SIGKILL");
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    this.exit = settleExit(status, [stdout.received, stderr.received]);
    const end = (): void => {
      this.#isEnded = true;
      signal?.removeEventListener("abort", onAbort);
      if (this.stdin?.writableFinished === false) this.stdin.destroy(brokenPipe("the process has ended"));
    };
    // Also keeps a failure from ending the process of a caller who only reads the output.
    this.#ended = status.then(end, end);
    this.exit.catch(() => undefined);
  }

  resize(cols: number, rows: number): void {
    // A window that changes while the process ends is nobody's failure.
    this.#client.call("sbx.resize", { pid: this.pid, cols, rows }).catch(() => undefined);
  }

  signal(name: string): void {
    if (!this.#isEnded) kill(this.#client, this.pid, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stdout.destroy();
    this.stderr.destroy();
    this.signal("SIGKILL");
    const { promise: waited, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.#hasTerminal ? TERMINAL_DISPOSE_WAIT_MS : DISPOSE_WAIT_MS);
    await Promise.race([this.#ended, waited]);
    clearTimeout(timer);
    this.stdin?.destroy();
  }
}

/** A process that is gone already is what a kill wants, so its errors say nothing. */
function kill(client: RpcClient, pid: number, signal: string): void {
  const sbx = client.hasExtensions ? { sbx: { group: true } } : {};
  client.call("processKill", { pid, signal, ...sbx }).catch(() => undefined);
}

function openOutput(
  client: RpcClient,
  streamId: number | null,
  windowBytes?: number,
): { stream: Readable; received: Promise<void> } {
  if (streamId === null) return { stream: Readable.from([]), received: Promise.resolve() };
  const output = client.openReadable(streamId, windowBytes);
  // A lost connection fails `exit`; whoever reads one stream alone must not fall over the other one's error.
  output.stream.on("error", () => undefined);
  return output;
}

async function settleExit(status: Promise<ProcessStatus>, received: Promise<void>[]): Promise<ExitStatus> {
  try {
    const { code, signal, oom } = await status;
    await Promise.all(received);
    return { code, signal, oom };
  } catch (error) {
    throw guestError(error, "waiting for the command");
  }
}
