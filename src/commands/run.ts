/** `sbx run`: one command in a sandbox of its own, gone afterwards. */
import * as Args from "@oclif/core/args";
import { exposeFlags, exposePorts } from "../cli/expose/new-urls.ts";
import { durationFlag } from "../cli/flags/common.ts";
import { placeFlags, stdinFlags } from "../cli/flags/guest-command.ts";
import { newSandboxFlags, readNewSandbox } from "../cli/flags/new-sandbox.ts";
import { GuestCommand } from "../cli/guest-command.ts";
import { toGuestArgv } from "../cli/parsers/command-line.ts";
import { usageError } from "../cli/parsers/usage-error.ts";
import { prose } from "../cli/output/prose.ts";

export default class Run extends GuestCommand {
  static override summary = "Run one command in a new sandbox and remove the sandbox.";

  static override description = prose(`
Everything after -- is the command, word for word. One single word with spaces or shell syntax is a line for bash.
Options of sbx come before the command. The sandbox reaches no host but those that are allowed. The exit status is the command's own, as with sbx exec.`);

  static override usage = ["run [OPTIONS] -- COMMAND...", "run [OPTIONS] 'COMMAND LINE'"];

  static override examples = [
    { description: "One command", command: "<%= config.bin %> run -- python3 -c 'print(6*7)'" },
    {
      description: "A project that nobody has read",
      command: "<%= config.bin %> run --copy . --cwd /app/project --net balanced 'npm ci && npm test'",
    },
    {
      description: "With one way out, and a key that stays outside",
      command: "<%= config.bin %> run --allow-net api.example.com --secret EXAMPLE_API_KEY@api.example.com -- ./agent",
    },
    {
      description: "On the project itself, not on a copy",
      command: "<%= config.bin %> run --mount .:/app/project:rw --cwd /app/project -- make",
    },
    {
      description: "At most a minute, with more memory",
      command: "<%= config.bin %> run --timeout 1m --memory 4GiB -- make -j4",
    },
  ];

  static override args = {
    command: Args.string({ description: "Command and its arguments.", multiple: true, ignoreStdin: true }),
  };

  static override flags = {
    ...newSandboxFlags,
    ...placeFlags,
    ...stdinFlags,
    ...exposeFlags,
    timeout: durationFlag({ summary: "Stop the command after this time (status 124)." }),
  };

  async run(): Promise<void> {
    const { argv, command } = this.arrangeArguments(0);
    const { flags } = await this.parse(Run, argv);
    const [first, ...rest] = command;
    if (first === undefined)
      throw usageError("no command to run was given", "sbx run -- COMMAND, or sbx create for a shell");
    const spec = await readNewSandbox(flags, { kind: "session" }, this.context);
    const exec = this.execSpec(toGuestArgv([first, ...rest]), flags);
    await using runtime = await this.openRuntime();
    await using sandbox = await this.createSandbox(runtime, spec, { quiet: flags.quiet });
    const { signal } = this.interrupt;
    const onUrl = flags.quiet ? undefined : (text: string) => this.notice(text);
    await exposePorts(runtime, sandbox, flags["expose-http"], { signal, onUrl });
    await this.runInGuest(runtime, sandbox, exec, flags, flags.timeout);
    if (flags.quiet || flags.json) return;
    await this.noticeDenied(runtime, sandbox, { kind: "again", command: "run" });
    await this.noticeRisks(runtime, sandbox, spec);
  }
}
