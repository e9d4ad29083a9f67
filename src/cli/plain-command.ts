/**
 * What all commands share: the process around them, settings, output, progress, interruption and the error funnel. A
 * command that calls the runtime is an SbxCommand (base-command.ts); whatever a command throws ends in the funnel.
 */
import { Command } from "@oclif/core/command";
import { Config } from "@oclif/core/config";
import { processContext, type CommandContext } from "./context.ts";
import type { CommandPhase } from "./errors/exit-status.ts";
import { reportFailure } from "./errors/funnel.ts";
import { renderNotice } from "./errors/render.ts";
import { baseFlags } from "./flags/common.ts";
import { Interrupt } from "./interrupt.ts";
import { openPalette, type Palette } from "./output/palette.ts";
import { openProgress, type Progress } from "./progress/progress.ts";
import { loadSettings, type LoadedSettings } from "./settings/load.ts";
import { signalStatus } from "./errors/exit-status.ts";

export abstract class PlainCommand extends Command {
  static override baseFlags = baseFlags;

  /** How far the command has come, for the exit status of a failure. */
  protected phase: CommandPhase = "plain";
  #context: CommandContext | undefined;
  #interrupt: Interrupt | undefined;
  #loaded: LoadedSettings | undefined;

  /**
   * Runs the command. oclif would load its configuration once more here, from the files it has just read.
   */
  static override async run<T extends Command>(
    this: new (argv: string[], config: Config) => T,
    argv?: string[],
    options?: Parameters<typeof Command.run>[1],
  ): Promise<ReturnType<T["run"]>> {
    const config = options instanceof Config ? options : await Config.load(options);
    const command: unknown = new this(argv ?? process.argv.slice(2), config);
    return (command as { _run(): Promise<ReturnType<T["run"]>> })._run();
  }

  /** The process around the command. Tests override this. */
  protected createContext(): CommandContext {
    return processContext();
  }

  protected get context(): CommandContext {
    return (this.#context ??= this.createContext());
  }

  /** Signals; one an instance, for as long as the command runs. */
  protected get interrupt(): Interrupt {
    return (this.#interrupt ??= new Interrupt(
      this.context.signals,
      () => this.context.now(),
      (name) => this.context.exitNow(signalStatus(name)),
    ));
  }

  /** The settings in force. @throws SbxError `config_invalid` */
  protected get loadedSettings(): LoadedSettings {
    return (this.#loaded ??= loadSettings(this.context.env));
  }

  protected override async init(): Promise<void> {
    // oclif's own part warns of deprecated aliases, of which there are none, and loads a logger for it.
    // Signals are taken over before anything is made that would have to be cleaned up.
    this.interrupt.signal.throwIfAborted();
  }

  protected override async catch(error: Error): Promise<void> {
    const status = await reportFailure(error, {
      names: { program: this.programName, options: Object.keys({ ...this.ctor.baseFlags, ...this.ctor.flags }) },
      json: this.wantsJson,
      phase: this.phase,
      interruptedBy: this.interrupt.received,
      env: this.context.env,
      stderr: this.context.stderr,
    });
    this.context.setExitStatus(status);
    // oclif warns of commands that did not parse, which says nothing when parsing was what failed.
    this.parsed = true;
  }

  protected override async finally(): Promise<void> {
    this.#interrupt?.[Symbol.dispose]();
  }

  /** `sbx exec`, for messages. */
  protected get programName(): string {
    return [this.config.bin, ...(this.id ?? "").split(":")].join(" ").trim();
  }

  /** Whether `--json` was given, known before (and even if) parsing fails. */
  protected get wantsJson(): boolean {
    const end = this.argv.indexOf("--");
    const own = end === -1 ? this.argv : this.argv.slice(0, end);
    return own.includes("--json") || own.includes("-j");
  }

  /** Progress of something that may take a while, on stderr; nothing with `--json` or `--quiet`. */
  protected openProgress(options: { quiet: boolean }): Progress {
    return openProgress({ stream: this.context.stderr, env: this.context.env, silent: options.quiet });
  }

  /** Columns of the terminal that stdout is; `undefined` for a file or pipe, where nothing is to be cut. */
  protected get stdoutWidth(): number | undefined {
    return this.context.stdout.isTTY === true ? (this.context.stdout.columns ?? 80) : undefined;
  }

  protected async stdoutPalette(): Promise<Palette> {
    return openPalette(this.context.stdout, this.context.env);
  }

  /** A line of data on stdout. The caller has escaped what it does not trust. */
  protected print(text: string): void {
    this.context.stdout.write(`${text}\n`);
  }

  protected printJson(value: unknown): void {
    const spaces = this.context.stdout.isTTY === true ? 2 : undefined;
    this.print(JSON.stringify(value, undefined, spaces));
  }

  /** A line on stderr that is no error. */
  protected notice(text: string): void {
    this.context.stderr.write(renderNotice(text));
  }
}
