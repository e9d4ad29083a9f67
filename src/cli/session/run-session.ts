/**
 * Runs one command of a guest with this process's streams, signals and terminal, and tells how it ended. Used by
 * `exec`, `run` and `create`. The guest's bytes pass through untouched.
 */
import type { Readable } from "node:stream";
import type { ExecSession, Sandbox } from "../../runtime/runtime.ts";
import type { ExecSpec, ExitStatus } from "../../runtime/types.ts";
import type { CommandContext, OutputStream } from "../context.ts";
import { signalStatus } from "../errors/exit-status.ts";
import type { Interrupt } from "../interrupt.ts";
import { Screen } from "../terminal/screen.ts";
import { SessionTerminal } from "./session-terminal.ts";
import { forwardSignals } from "./signals.ts";
import { copyInput, copyOutput } from "./streams.ts";
import { startTimeLimit, TIMED_OUT_STATUS } from "./time-limit.ts";

/** A command whose reader went away gets this long to notice, `ms`. */
export const BROKEN_PIPE_GRACE_MS = 2000;

export interface SessionOptions {
  context: Pick<CommandContext, "stdin" | "stdout" | "stderr" | "signals" | "now" | "suspend">;
  interrupt: Interrupt;
  /** How long the command may run, `ms`. */
  limitMs?: number | undefined;
  terminal: TerminalChoices;
  /** Says why the sandbox stands still; undefined if it does not. Never rejects. */
  askWhyStill: () => Promise<string | undefined>;
  /** Called once the command runs: failures are no longer sbx's alone from here on. */
  onStarted: () => void;
}

/** How the user wants a terminal. */
export interface TerminalChoices {
  /** First of the two keys that get out of a session; undefined for none. */
  escapeKey: string | undefined;
  /** Lets all control sequences through. */
  unfiltered: boolean;
}

export interface SessionResult {
  /** What sbx is to exit with. */
  status: number;
  timedOut: boolean;
  /** The user left without waiting for the command. */
  left: boolean;
  /** Whether the guest ran out of memory, as far as is known. */
  oom: ExitStatus["oom"];
}

/**
 * Runs `spec` to its end.
 *
 * @throws SbxError when the command cannot be started, or the link to the sandbox breaks
 */
export async function runSession(sandbox: Sandbox, spec: ExecSpec, options: SessionOptions): Promise<SessionResult> {
  const { context, interrupt } = options;
  await using session = await sandbox.exec(spec, { signal: interrupt.signal });
  options.onStarted();
  using forwarder = forwardSignals(interrupt, session, {
    terminal: spec.tty !== undefined,
    now: context.now,
  });
  using limit = startTimeLimit(session, options.limitMs);
  using screen = new Screen({ ...context, unfiltered: options.terminal.unfiltered });
  using terminal =
    spec.tty === undefined ? undefined : new SessionTerminal({ ...options, ...options.terminal, session, screen });
  const source = terminal?.keysOf(context.stdin) ?? context.stdin;
  using input = session.stdin === null ? undefined : copyInput(source, session.stdin);
  const ended: Promise<Ending>[] = [
    finish(session, screen, context).then((exit) => ({ kind: "exited", exit })),
    forwarder.gaveUp.then((signal) => ({ kind: "given-up", signal })),
    limit.abandoned.then(() => ({ kind: "abandoned" })),
  ];
  if (terminal !== undefined) ended.push(terminal.leave.then(() => ({ kind: "left" })));
  try {
    const ending = await Promise.race(input === undefined ? ended : [...ended, input.failed]);
    if (ending.kind === "left") session.signal("SIGHUP");
    if (ending.kind !== "exited" && terminal !== undefined) screen.breakOff();
    return toResult(ending, limit.expired);
  } catch (error) {
    if (terminal !== undefined) screen.breakOff();
    session.signal("SIGKILL");
    throw error;
  }
}

type Ending =
  | { kind: "exited"; exit: ExitStatus }
  | { kind: "given-up"; signal: NodeJS.Signals }
  | { kind: "left" }
  | { kind: "abandoned" };

function toResult(ending: Ending, timedOut: boolean): SessionResult {
  const ended = { timedOut, left: false, oom: null };
  if (timedOut) return { ...ended, status: TIMED_OUT_STATUS };
  switch (ending.kind) {
    case "exited":
      return { ...ended, status: ending.exit.code, oom: ending.exit.oom };
    case "given-up":
      return { ...ended, status: signalStatus(ending.signal) };
    case "left":
      return { ...ended, status: signalStatus("SIGHUP"), left: true };
    case "abandoned":
      return { ...ended, status: TIMED_OUT_STATUS };
  }
}

/** Waits for the end of the command and of everything it wrote. */
async function finish(session: ExecSession, screen: Screen, context: SessionOptions["context"]): Promise<ExitStatus> {
  using patience = new BrokenPipePatience(session);
  const pass = async (output: Readable, destination: OutputStream): Promise<void> => {
    const source = screen.guard(output, destination);
    if ((await copyOutput(source, destination)) === "complete") return;
    source.destroy();
    patience.start();
  };
  const [exit] = await Promise.all([
    session.exit,
    pass(session.stdout, context.stdout),
    pass(session.stderr, context.stderr),
  ]);
  return exit;
}

/**
 * What a pipe does for a local program whose reader is gone: SIGPIPE. One that ignores it is killed after a while, so
 * that `sbx exec box -- yes | head -1` ends.
 */
class BrokenPipePatience implements Disposable {
  readonly #session: ExecSession;
  #timer: NodeJS.Timeout | undefined;

  constructor(session: ExecSession) {
    this.#session = session;
  }

  start(): void {
    if (this.#timer !== undefined) return;
    this.#session.signal("SIGPIPE");
    this.#timer = setTimeout(() => this.#session.signal("SIGKILL"), BROKEN_PIPE_GRACE_MS);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
