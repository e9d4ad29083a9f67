/** Starting a process for a client and wiring its pipes to the client's streams. */
import { pipeline } from "node:stream/promises";
import { AgentError } from "../../guest/link.ts";
import { errnoConstructorName, errnoText } from "../../protocol/rpc-errno.ts";
import { CallError, callTypeError } from "./call-error.ts";
import type { IncomingStream } from "./incoming-stream.ts";
import { fromGuest } from "./outgoing-streams.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";
import type { Launched, LaunchSpec } from "./process-table.ts";
import type { Call } from "./session.ts";

/** What all ways of starting a process have in common. */
export interface StdioParams {
  env?: Record<string, string> | null | undefined;
  clearEnv?: boolean | null | undefined;
  cwd?: string | null | undefined;
  stdinStreamId?: number | null | undefined;
  stdout: "piped" | "null";
  stderr: "piped" | "null";
}

export interface LaunchExtras {
  user?: string | null | undefined;
  pty?: { cols: number; rows: number; windowBytes?: number | null | undefined } | null | undefined;
  channel?: NonNullable<LaunchSpec["channel"]>;
  /** Variables that the caller's may override. */
  env?: Record<string, string>;
  /** Goes to stdin where the client has no stream for it. */
  input?: Buffer;
  /** Whether it runs in the background: its output is kept here, and no client's end is its. */
  detached?: boolean;
}

export interface StartedForClient {
  launched: Launched;
  result: { pid: number; stdoutStreamId: number | null; stderrStreamId: number | null };
}

/**
 * Starts a process; its output goes to the client once the reply has been sent.
 *
 * @throws CallError with the errno and the path: of the directory if that is missing, else of the program
 */
export async function launchForClient(
  call: Call,
  argv: string[],
  stdio: StdioParams,
  extras: LaunchExtras = {},
): Promise<StartedForClient> {
  const { session } = call;
  const { state } = session;
  const input = stdio.stdinStreamId == null ? null : session.incoming.claim(stdio.stdinStreamId);
  try {
    session.outgoing.assertRoom(2);
    for (const word of argv) {
      if (word.includes("\0")) throw callTypeError("an argument holds a NUL character");
    }
    const cwd = stdio.cwd == null ? state.home : state.resolvePath(stdio.cwd);
    const pty = extras.pty ?? null;
    const detached = extras.detached === true;
    if (detached && (pty !== null || input !== null)) {
      throw callTypeError("a process in the background has neither a terminal nor an input");
    }
    const spec: LaunchSpec = {
      argv,
      env: { ...extras.env, ...state.environment.forProcess(stdio.env ?? {}, stdio.clearEnv ?? false) },
      cwd,
      user: extras.user ?? state.user,
      pty,
      stdin: input !== null || extras.input !== undefined,
      stdout: detached || stdio.stdout === "piped",
      stderr: detached || (stdio.stderr === "piped" && pty === null),
      ...(extras.channel === undefined ? {} : { channel: extras.channel }),
    };
    const launched = await launch(call, spec);
    if (detached) {
      state.keepOutput(launched, argv);
      return { launched, result: { pid: launched.process.pid, stdoutStreamId: null, stderrStreamId: null } };
    }
    return { launched, result: connect(call, launched, input, extras) };
  } catch (error) {
    input?.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

async function launch({ session }: Call, spec: LaunchSpec): Promise<Launched> {
  try {
    // Not ended by the call's signal: a process that started must be in the table, whoever waits for it.
    return await session.state.processes.launch(spec);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    throw describeLaunchError(error, spec);
  }
}

function describeLaunchError(error: AgentError, spec: LaunchSpec): CallError {
  const { code, path } = error;
  const command = spec.argv[0] ?? "";
  const isCwd = path !== undefined && path === spec.cwd && path !== command;
  const what = isCwd ? `No such cwd '${spec.cwd}'` : `Failed to spawn '${command}'`;
  return new CallError({
    constructorName: errnoConstructorName(code),
    // The kernel's own reasons have names of their own; what the agent calls invalid only it can explain.
    message: `${what}: ${code === "EINVAL" ? error.message : errnoText(code)}`,
    code,
    sbx: { path: path ?? command },
  });
}

function connect(
  call: Call,
  { process, stdin, stdout, stderr }: Launched,
  input: IncomingStream | null,
  { input: text, pty }: LaunchExtras,
): StartedForClient["result"] {
  const { session } = call;
  if (stdin !== null && input !== null) {
    // A process that reads no more ends the client's stream, a client that breaks off ends the process's input:
    // pipeline does both, and neither is a failure of any call.
    pipeline(input, stdin).catch(() => undefined);
    // The end of the process ends its input even where a descendant still holds the pipe.
    void process.exit.then(
      () => stdin.destroy(new AgentError("EPIPE", "the process has ended")),
      () => undefined,
    );
  } else if (stdin !== null) {
    stdin.end(text);
  }
  if (process.hasTerminal) {
    // On a connection that has gone meanwhile, the line is dead already.
    if (session.signal.aborted) process.signal("SIGHUP", true).catch(() => undefined);
    session.terminals.add(process);
    const forget = (): unknown => session.terminals.delete(process);
    void process.exit.then(forget, forget);
  }
  const [out, err] = [stdout, stderr].map((readable): OutgoingStream | null => {
    if (readable === null) return null;
    const stream = session.outgoing.open({
      ...fromGuest(readable, "drain"),
      windowBytes: pty?.windowBytes ?? undefined,
    });
    session.addOutput(process, stream);
    call.afterReply(() => stream.start());
    return stream;
  });
  return { pid: process.pid, stdoutStreamId: out?.streamId ?? null, stderrStreamId: err?.streamId ?? null };
}
