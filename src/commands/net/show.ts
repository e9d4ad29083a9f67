/** `sbx net show`: what a sandbox may reach, and why. */
import { SbxCommand } from "../../cli/base-command.ts";
import { sandboxArg } from "../../cli/flags/sandbox-arg.ts";
import { parseSandboxRef } from "../../cli/parsers/names.ts";
import { renderNetwork } from "../../cli/view/network-view.ts";

export default class NetShow extends SbxCommand {
  static override summary = "Show what a sandbox may reach: each rule, where it comes from, and its secrets.";

  static override examples = [
    { description: "For a person", command: "<%= config.bin %> net show web" },
    {
      description: "The hosts that are allowed, for a program",
      command: `<%= config.bin %> net show web --json | jq -r '.rules[] | select(.verdict == "allow").text'`,
    },
  ];

  static override args = { sandbox: sandboxArg };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(NetShow);
    const ref = parseSandboxRef(args.sandbox);
    await using runtime = await this.openRuntime();
    const view = await runtime.network.show(ref, { signal: this.interrupt.signal });
    if (flags.json) this.printJson(view);
    else if (flags.quiet) for (const { verdict, text } of view.rules) this.print(`${verdict} ${text}`);
    else this.print(renderNetwork(view, { palette: await this.stdoutPalette(), width: this.stdoutWidth }));
  }
}
