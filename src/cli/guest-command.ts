/**
 * The commands that run something in a guest: `create`, `run` and `exec`. They split their arguments before oclif sees
 * them, run a session with this process's streams, and leave with the guest's status.
 */
import type { Runtime, Sandbox } from "../runtime/runtime.ts";
import type { ExecSpec, SandboxSpec } from "../runtime/types.ts";
import { SbxCommand } from "./base-command.ts";
import { explainLostSandbox, explainStandstill } from "./create/failures.ts";
import { readTerminalFlags, type TerminalFlags } from "./flags/guest-command.ts";
import type { DeniedWay } from "./network/denied-notice.ts";
import { splitCommandLine, type OptionShape } from "./parsers/command-line.ts";
import { humanDuration } from "./output/human.ts";
import { runSession } from "./session/run-session.ts";
import type { SshFlags } from "./ssh/run-client.ts";
import { usageError } from "./parsers/usage-error.ts";
import { findInteractiveProgram } from "./terminal/interactive-programs.ts";
import { terminalSize } from "./terminal/terminal.ts";

export interface PlaceFlags {
  cwd?: string | undefined;
  user?: string | undefined;
  tty?: boolean | undefined;
  interactive?: boolean | undefined;
  "no-stdin"?: boolean | undefined;
  json?: boolean | undefined;
}

/** What a user has said about colours: whether the terminal has all of them, and whether they are wanted. */
const TERMINAL_VARIABLES = ["COLORTERM", "NO_COLOR"];

export abstract class GuestCommand extends SbxCommand {
  /**
   * The arguments in a form that oclif cannot misread: options of sbx first, then `--`, then every word that is none.
   *
   * @throws SbxError `usage`
   */
  protected arrangeArguments(operands: number): { argv: string[]; command: string[] } {
    const options: Record<string, OptionShape> = { ...this.ctor.baseFlags, ...this.ctor.flags };
    const line = splitCommandLine(this.argv, { program: this.programName, options, operands });
    return { argv: [...line.own, "--", ...line.operands, ...line.command], command: line.command };
  }

  protected override async init(): Promise<void> {
    await super.init();
    this.phase = "before-guest-command";
  }

  /** Whether there is a person in front of it: stdin and stdout are terminals. */
  protected get onTerminal(): boolean {
    return this.context.stdin.isTTY === true && this.context.stdout.isTTY === true;
  }

  /**
   * How a command is to run. Stdin is wired up where it is no terminal (which nobody may be sitting at), or on request.
   *
   * @throws SbxError `usage` for a terminal and JSON at once
   */
  protected execSpec(argv: readonly [string, ...string[]], flags: PlaceFlags): ExecSpec {
    const tty = flags.tty === true;
    if (tty && flags.json === true) {
      throw usageError("--json is for programs, and a terminal (--tty) is for a person", "leave out one of them");
    }
    const wanted = tty || flags.interactive === true || this.context.stdin.isTTY !== true;
    return {
      argv,
      ...(flags.cwd === undefined ? {} : { cwd: flags.cwd }),
      ...(flags.user === undefined ? {} : { user: flags.user }),
      ...(tty ? this.#terminalSpec() : {}),
      stdin: wanted && flags["no-stdin"] !== true,
    };
  }

  /** The user's terminal, with what programs ask the environment about it. */
  #terminalSpec(): Pick<ExecSpec, "tty" | "env"> {
    const { env, stdout } = this.context;
    const known = TERMINAL_VARIABLES.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const]));
    return { tty: { ...terminalSize(stdout), term: env.TERM ?? "xterm-256color" }, env: Object.fromEntries(known) };
  }

  /** Makes a sandbox; one that was not complete is not left behind. */
  protected async createSandbox(runtime: Runtime, spec: SandboxSpec, options: { quiet: boolean }): Promise<Sandbox> {
    if (!options.quiet) await this.#warnOfUselessSecrets(runtime, spec);
    using progress = this.openProgress({ quiet: options.quiet });
    const notices: string[] = [];
    const sandbox = await runtime.create(spec, {
      ...{ signal: this.interrupt.signal, onProgress: progress.onProgress },
      environment: this.context.env,
      onNotice: (text) => notices.push(text),
    });
    progress.stop();
    for (const text of notices) this.notice(text);
    return sandbox;
  }

  /** Runs this machine's ssh on a sandbox and takes over its status. */
  protected async runBySsh(runtime: Runtime, name: string, call: SshFlags): Promise<void> {
    const [{ runSsh }, { sshTarget }] = await Promise.all([
      import("./ssh/run-client.ts"),
      import("./contexts/ssh-host.ts"),
    ]);
    const { host, env } = sshTarget(name, await this.chosenContext, this.context.env);
    const parts = { context: { ...this.context, env }, interrupt: this.interrupt };
    const status = await runSsh(runtime.ssh, host, call, parts);
    this.context.setExitStatus(status);
  }

  async #warnOfUselessSecrets(runtime: Runtime, { network }: SandboxSpec): Promise<void> {
    if (network === undefined || network.secrets.length === 0) return;
    const { describeUnreachable } = await import("./network/unreachable-secrets.ts");
    const needsStored = network.secrets.some(({ hosts }) => hosts === null);
    const stored = needsStored ? await runtime.secrets.names({ signal: this.interrupt.signal }) : [];
    const hostsOf = (name: string) => stored.find((secret) => secret.name === name)?.hosts ?? [];
    for (const sentence of describeUnreachable(network, hostsOf)) this.notice(sentence);
  }

  /** Says what the sandbox was refused, if anything, and how to allow it. */
  protected async noticeDenied(runtime: Runtime, sandbox: Sandbox, way: DeniedWay): Promise<void> {
    // The command has its result: whatever goes wrong here must not change that.
    const denied = await runtime.network.denied(sandbox.id).catch(() => []);
    if (denied.length === 0) return;
    const { describeDenied } = await import("./network/denied-notice.ts");
    const text = describeDenied(denied, way);
    if (text !== undefined) this.notice(text);
  }

  /** Says which files of this machine the sandbox wrote to that programs of this machine run or obey. */
  protected async noticeRisks(runtime: Runtime, sandbox: Sandbox, spec: SandboxSpec): Promise<void> {
    if (spec.mounts?.some(({ access }) => access === "read-write") !== true) return;
    // As with what was denied: the command has its result.
    const mounts = await runtime.folders.mounts(sandbox.id).catch(() => []);
    const { describeRisks } = await import("./view/folder-view.ts");
    for (const text of describeRisks(mounts)) this.notice(text);
  }

  /** A shell without a terminal and without input ends at once, and a user wonders why. */
  #noticeMissingTerminal({ argv, tty, stdin }: ExecSpec): void {
    if (tty !== undefined || stdin === true || !this.onTerminal) return;
    const name = findInteractiveProgram(argv);
    if (name !== undefined) this.notice(`${name} has neither a terminal nor input; -t gives it both`);
  }

  /** Runs a command to its end and takes over its status. */
  protected async runInGuest(
    runtime: Runtime,
    sandbox: Sandbox,
    spec: ExecSpec,
    flags: TerminalFlags,
    limitMs?: number,
  ): Promise<void> {
    if (flags.quiet !== true) this.#noticeMissingTerminal(spec);
    try {
      const result = await runSession(sandbox, spec, {
        context: this.context,
        interrupt: this.interrupt,
        limitMs,
        terminal: readTerminalFlags(flags),
        askWhyStill: async () => explainStandstill(runtime, sandbox.id),
        onStarted: () => {
          this.phase = "guest-command-running";
        },
      });
      if (result.timedOut && limitMs !== undefined) {
        this.notice(`the command was stopped after ${humanDuration(limitMs)}`);
      }
      if (result.left) this.notice("left; the command was hung up");
      if (result.oom !== null) {
        this.notice(`the command was killed because the sandbox ran out of memory; give it more with --memory`);
      }
      this.context.setExitStatus(result.status);
    } catch (error) {
      throw await explainLostSandbox(error, runtime, sandbox.id);
    }
  }
}
