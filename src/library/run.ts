/** The call that most programs want: a command, run to its end, with its output as text. */
import type { Readable } from "node:stream";
import { abortedError } from "../runtime/abort.ts";
import { SbxError } from "../runtime/errors.ts";
import type { CallOptions, Sandbox } from "../runtime/runtime.ts";
import type { ExecSpec, ExitStatus } from "../runtime/types.ts";

const DEFAULT_MAX_BYTES = 16 * 1024 ** 2;

export interface RunOptions extends CallOptions, Omit<ExecSpec, "argv" | "tty" | "stdin"> {
  /** What the command reads. */
  stdin?: string | Uint8Array;
  /** Kills the command after so long, `ms`. */
  timeoutMs?: number;
  /** The most that one output may have; the command is killed for more. 16 MiB if absent. */
  maxBytes?: number;
}

export interface RunResult extends ExitStatus {
  stdout: string;
  stderr: string;
}

/**
 * Runs a command and waits for it. A status other than 0 is a result, not an error.
 *
 * @throws SbxError `timeout`, `aborted`, `guest_error` for too much output, `command_not_found`, `command_not_executable`
 */
export async function run(
  sandbox: Sandbox,
  argv: readonly [string, ...string[]],
  options: RunOptions = {},
): Promise<RunResult> {
  const { signal, onProgress: _onProgress, stdin, timeoutMs, maxBytes = DEFAULT_MAX_BYTES, ...place } = options;
  await using session = await sandbox.exec(
    { ...place, argv, stdin: stdin !== undefined },
    { ...(signal && { signal }) },
  );
  using stop = new DisposableStack();
  const stopped = Promise.withResolvers<never>();
  const kill = (error: SbxError): void => {
    session.signal("SIGKILL");
    stopped.reject(error);
  };
  if (timeoutMs !== undefined) {
    const late = (): void => kill(new SbxError("timeout", `'${argv[0]}' ran for longer than ${timeoutMs} ms`));
    stop.adopt(setTimeout(late, timeoutMs), clearTimeout);
  }
  if (signal !== undefined) {
    const abort = (): void => kill(abortedError(signal, "the command"));
    signal.addEventListener("abort", abort);
    stop.defer(() => signal.removeEventListener("abort", abort));
    if (signal.aborted) abort();
  }
  const collect = async (source: Readable): Promise<string> => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of source as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) kill(new SbxError("guest_error", `'${argv[0]}' wrote more than ${maxBytes} bytes`));
      else chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString();
  };
  // A command may end without having read its input.
  session.stdin?.on("error", () => undefined);
  session.stdin?.end(stdin);
  const ended = Promise.all([session.exit, collect(session.stdout), collect(session.stderr)]);
  // Where the command was stopped, what becomes of it is nobody's any more.
  ended.catch(() => undefined);
  const [exit, stdout, stderr] = await Promise.race([ended, stopped.promise]);
  return { ...exit, stdout, stderr };
}
