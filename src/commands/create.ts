/** `sbx create`: a new sandbox, with a shell, a command, or to be left running. */
import * as Args from "@oclif/core/args";
import { createdJson, livesOn } from "../cli/create/announcement.ts";
import { planCreate, type CreatePlan } from "../cli/create/plan.ts";
import { exposeFlags, exposePorts } from "../cli/expose/new-urls.ts";
import { type BaseFlagValues, durationFlag, switchFlag } from "../cli/flags/common.ts";
import { placeFlags } from "../cli/flags/guest-command.ts";
import { newSandboxFlags, readNewSandbox } from "../cli/flags/new-sandbox.ts";
import { GuestCommand, type PlaceFlags } from "../cli/guest-command.ts";
import { toGuestArgv } from "../cli/parsers/command-line.ts";
import { usageError } from "../cli/parsers/usage-error.ts";
import { LIFETIME_LIMITS } from "../cli/settings/keys.ts";
import type { Exposure } from "../runtime/exposures.ts";
import type { Sandbox } from "../runtime/runtime.ts";
import type { ExecSpec } from "../runtime/types.ts";
import { prose } from "../cli/output/prose.ts";

/** A login shell, as ssh would start it. */
const SHELL = ["bash", "-l"] as const;
const AGAIN = { kind: "again", command: "create" } as const;

export default class Create extends GuestCommand {
  static override aliases = ["new"];
  static override summary = "Create a sandbox.";

  static override description = prose(`
On a terminal, without a command: opens a shell, and removes the sandbox when the shell ends. With a command: runs it,
leaves with its exit status and removes the sandbox. With --timeout or --detach, or where stdout is no terminal: prints
the id, and the sandbox lives on until its time is over (30 minutes unless configured otherwise).

Everything after -- is the command, word for word. One single word with spaces or shell syntax is a line for bash.
Options of sbx come before the command.

--copy gives it a copy of a file or directory, --mount a directory; see sbx sync for the way back.

It reaches no host but those of --allow-net, --net and --net-file. A --secret is a variable with a placeholder in the
sandbox; its value (that of sbx secret set, else of the variable of this name here) is put into requests to its own
hosts on their way out.

Sizes: kB, MB, GB are decimal; KiB, MiB, GiB and a bare k, M, G are binary. Durations: 90s, 10m, 1h30m.`);

  static override usage = ["create [OPTIONS]", "create [OPTIONS] -- COMMAND...", "create [OPTIONS] 'COMMAND LINE'"];

  static override examples = [
    { description: "A shell in a new machine, gone afterwards", command: "<%= config.bin %> create" },
    { description: "One that stays for an hour", command: "<%= config.bin %> create --name web --timeout 1h" },
    {
      description: "A project and its tests",
      command: "<%= config.bin %> create --copy ./shop --cwd /app/shop -- npm test",
    },
    {
      description: "With one way out, and a key that stays outside",
      command: "<%= config.bin %> create --allow-net api.example.com --secret EXAMPLE_API_KEY@api.example.com",
    },
    { description: "For a script", command: "id=$(<%= config.bin %> create --detach --memory 2GiB)" },
  ];

  static override args = {
    command: Args.string({ description: "Command and its arguments.", multiple: true, ignoreStdin: true }),
  };

  static override flags = {
    ...newSandboxFlags,
    ...placeFlags,
    ...exposeFlags,
    timeout: durationFlag({ summary: "Let the sandbox live this long.", ...LIFETIME_LIMITS }),
    detach: switchFlag({ char: "d", summary: "Print the id and leave the sandbox running." }),
    ssh: switchFlag({ summary: "Go into it by SSH, as sbx ssh does." }),
  };

  async run(): Promise<void> {
    const { argv, command } = this.arrangeArguments(0);
    const { flags } = await this.parse(Create, argv);
    const plan = planCreate({
      command,
      timeoutMs: flags.timeout,
      ...{ detach: flags.detach, ssh: flags.ssh, json: flags.json },
      terminal: this.onTerminal,
      defaultTimeoutMs: this.loadedSettings.settings.timeoutMs,
    });
    const exec = this.#execFor(plan, command, flags);
    const spec = await readNewSandbox(flags, plan.lifetime, this.context);
    const quiet = flags.quiet || flags.json;
    await using runtime = await this.openRuntime();
    await using sandbox = await this.createSandbox(runtime, spec, { quiet });
    const title = sandbox.info.name ?? sandbox.id;
    const { signal } = this.interrupt;
    const onUrl = quiet ? undefined : (text: string) => this.notice(text);
    const exposures = await exposePorts(runtime, sandbox, flags["expose-http"], { signal, onUrl });
    const stays = plan.lifetime.kind === "duration";
    if (stays) this.#announce(sandbox, plan.run !== "nothing", flags, exposures);
    else if (plan.run !== "command" && !quiet) this.notice(`${title} is removed when this shell ends`);
    if (plan.run === "ssh") await this.runBySsh(runtime, sandbox.id, { ...flags, command });
    else if (exec === undefined) return;
    else await this.runInGuest(runtime, sandbox, exec, flags);
    if (quiet) return;
    await this.noticeDenied(runtime, sandbox, stays ? { kind: "running", sandbox: title } : AGAIN);
    await this.noticeRisks(runtime, sandbox, spec);
  }

  #execFor(plan: CreatePlan, [first, ...rest]: readonly string[], place: PlaceFlags): ExecSpec | undefined {
    if (plan.run === "ssh") return undefined;
    if (plan.run === "shell") return this.execSpec(SHELL, { ...place, tty: true });
    if (first !== undefined) return this.execSpec(toGuestArgv([first, ...rest]), place);
    if (place.cwd !== undefined || place.user !== undefined) {
      throw usageError("--cwd and --user are for a command, and there is none", "give them to sbx exec");
    }
    return undefined;
  }

  /** Tells which sandbox lives on: on stdout, or on stderr where stdout is the command's. */
  #announce({ id, info }: Sandbox, hasCommand: boolean, flags: BaseFlagValues, exposures: readonly Exposure[]): void {
    const json = createdJson(info, exposures);
    if (hasCommand && flags.json) this.context.stderr.write(`${JSON.stringify(json)}\n`);
    else if (hasCommand && !flags.quiet) this.notice(livesOn(info, this.context.now()));
    else if (!hasCommand && flags.json) this.printJson(json);
    else if (!hasCommand) this.print(id);
  }
}
