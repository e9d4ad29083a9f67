/** `sbx exec`: a command in a running sandbox. */
import * as Args from "@oclif/core/args";
import { durationFlag, switchFlag } from "../cli/flags/common.ts";
import { environmentFlags, placeFlags, readEnvironment, stdinFlags } from "../cli/flags/guest-command.ts";
import { GuestCommand } from "../cli/guest-command.ts";
import { toGuestArgv } from "../cli/parsers/command-line.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { usageError } from "../cli/parsers/usage-error.ts";
import { prose } from "../cli/output/prose.ts";
import type { Sandbox } from "../runtime/runtime.ts";
import type { ExecSpec } from "../runtime/types.ts";

export default class Exec extends GuestCommand {
  static override summary = "Run a command in a sandbox.";

  static override description = prose(`
Everything after -- is the command, word for word. One single word with spaces or shell syntax is a line for bash.
Options of sbx come before the command.

Stdin is passed on unless it is a terminal; stdout and stderr stay apart and byte for byte. With --tty the command gets
a terminal, and Enter ~. leaves it whatever the command does. Ctrl-C and SIGTERM go to the command and all that it
started; a second Ctrl-C within a second gives up. On a terminal, control sequences that could do harm are left out.

With --detach the command runs on by itself, without stdin: sbx prints its process id and ends. What it says is kept
(sbx logs --source process), and it ends with the sandbox.

The exit status is the command's own, 128 plus the number of the signal that ended it, 124 after --timeout, 125 if sbx
failed before the command ran, 126 or 127 if the command cannot be run or found.`);

  static override usage = ["exec [OPTIONS] SANDBOX -- COMMAND...", "exec [OPTIONS] SANDBOX 'COMMAND LINE'"];

  static override examples = [
    { description: "A command with arguments", command: "<%= config.bin %> exec web -- ls -la /app" },
    { description: "A line for the shell", command: "<%= config.bin %> exec web 'ps aux | grep node'" },
    { description: "A program with a terminal", command: "<%= config.bin %> exec -t web -- bash" },
    { description: "A server, in the background", command: "<%= config.bin %> exec --detach web -- npm start" },
    {
      description: "A file through a command, to the byte",
      command: "<%= config.bin %> exec web -- sha256sum < disk.img",
    },
  ];

  static override args = {
    sandbox: Args.string({ description: "Id or name, or the beginning of either.", required: true, ignoreStdin: true }),
    command: Args.string({ description: "Command and its arguments.", multiple: true, ignoreStdin: true }),
  };

  static override flags = {
    ...stdinFlags,
    ...environmentFlags,
    "clear-env": switchFlag({ summary: "Start without the sandbox's variables." }),
    ...placeFlags,
    timeout: durationFlag({ summary: "Stop the command after this time (status 124)." }),
    detach: switchFlag({
      char: "d",
      summary: "Leave the command running; print its process id.",
      exclusive: ["tty", "interactive", "timeout"],
    }),
  };

  protected override describeContext(): undefined {
    return undefined;
  }

  async run(): Promise<void> {
    const { argv, command } = this.arrangeArguments(1);
    const { args, flags } = await this.parse(Exec, argv);
    const [first, ...rest] = command;
    if (first === undefined) {
      throw usageError(
        "no command to run was given",
        `sbx exec ${args.sandbox} -- COMMAND, or sbx exec -t ${args.sandbox} bash`,
      );
    }
    const env = readEnvironment(flags, this.context.env);
    const spec = this.execSpec(toGuestArgv([first, ...rest]), flags);
    await using runtime = await this.openRuntime();
    await using sandbox = await runtime.connect(parseSandboxRef(args.sandbox), { signal: this.interrupt.signal });
    const complete = { ...spec, env: { ...spec.env, ...env }, clearEnv: flags["clear-env"] };
    if (flags.detach) await this.#leaveRunning(sandbox, { ...complete, stdin: false }, flags);
    else await this.runInGuest(runtime, sandbox, complete, flags, flags.timeout);
  }

  async #leaveRunning(sandbox: Sandbox, spec: ExecSpec, flags: { json: boolean; quiet: boolean }): Promise<void> {
    const pid = await sandbox.start(spec, { signal: this.interrupt.signal });
    const { id } = sandbox;
    const name = sandbox.info.name ?? id;
    if (flags.json) this.printJson({ sandbox: id, pid });
    else this.print(String(pid));
    if (!flags.quiet && !flags.json) this.notice(`it runs on in ${name}; sbx logs ${name} --source process -f`);
  }
}
