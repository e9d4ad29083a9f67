/** `sbx ssh`: the system's ssh, on a sandbox. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { switchFlag } from "../cli/flags/common.ts";
import { GuestCommand } from "../cli/guest-command.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { usageError } from "../cli/parsers/usage-error.ts";
import { prose } from "../cli/output/prose.ts";

export default class Ssh extends GuestCommand {
  static override summary = "Open a shell in a sandbox by SSH, run a command, or forward ports.";

  static override description = prose(`
Runs this machine's ssh with a configuration of sbx's own: your ~/.ssh/config is not read, and no key of yours is used.
There is no SSH server, no key and no open port in the sandbox. To use ssh, scp, sftp, rsync, git or an editor
themselves, with the name SANDBOX.sbx, see sbx ssh-config.

Everything after -- is the command, word for word. One single word with spaces or shell syntax is a line for the
account's shell. The exit status is ssh's: the command's own, or 255 if ssh failed.

Your SSH agent is not forwarded: a sandbox that could ask it to sign would be as good as your keys.`);

  static override usage = [
    "ssh [OPTIONS] SANDBOX",
    "ssh [OPTIONS] SANDBOX -- COMMAND...",
    "ssh [OPTIONS] SANDBOX 'COMMAND LINE'",
  ];

  static override examples = [
    { description: "A shell", command: "<%= config.bin %> ssh web" },
    { description: "As root, one command", command: "<%= config.bin %> ssh -l root web -- apt-get update" },
    {
      description: "Port 3000 of the sandbox as 8080 here",
      command: "<%= config.bin %> ssh -L 8080:localhost:3000 -N web",
    },
    {
      description: "A SOCKS proxy that reaches what the sandbox does",
      command: "<%= config.bin %> ssh -D 1080 -N web",
    },
  ];

  static override args = {
    sandbox: Args.string({ description: "Id or name, or the beginning of either.", required: true, ignoreStdin: true }),
    command: Args.string({ description: "Command and its arguments.", multiple: true, ignoreStdin: true }),
  };

  static override flags = {
    user: Flags.string({ char: "l", summary: "Account in the sandbox; the ordinary one (app) otherwise." }),
    tty: switchFlag({ char: "t", summary: "A terminal also for a command." }),
    local: Flags.string({
      char: "L",
      summary: "Forward a port or Unix socket of this machine into the sandbox, as ssh -L.",
      helpValue: "[BIND:]PORT:HOST:PORT",
      multiple: true,
      multipleNonGreedy: true,
    }),
    dynamic: Flags.string({
      char: "D",
      summary: "A SOCKS proxy on this machine, as ssh -D.",
      helpValue: "[BIND:]PORT",
      multiple: true,
      multipleNonGreedy: true,
    }),
    "no-command": Flags.boolean({ char: "N", default: false, summary: "Only forward." }),
    agent: Flags.boolean({ char: "A", default: false, summary: "Refused: no agent is forwarded." }),
  };

  protected override describeContext(): undefined {
    return undefined;
  }

  async run(): Promise<void> {
    const { argv, command } = this.arrangeArguments(1);
    const { args, flags } = await this.parse(Ssh, argv);
    if (flags.agent) {
      throw usageError(
        "-A would let everything in the sandbox use your keys for as long as you are connected",
        `use a key inside for this purpose alone: sbx ssh ${args.sandbox} -- ssh-keygen -t ed25519`,
      );
    }
    if (flags.json) throw usageError("a session of ssh has no JSON", "leave out --json, or use sbx exec");
    const ref = parseSandboxRef(args.sandbox);
    await using runtime = await this.openRuntime();
    const { signal } = this.interrupt;
    const { id, name, status } = await runtime.get(ref, { signal });
    // Refused here: ssh would bury the reason under complaints of its own.
    if (status !== "running") await (await runtime.connect(id, { signal }))[Symbol.asyncDispose]();
    await this.runBySsh(runtime, name ?? id, { ...flags, command });
  }
}
