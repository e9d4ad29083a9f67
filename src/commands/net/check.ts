/** `sbx net check`: the verdict that the enforcement would give. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { sandboxArg } from "../../cli/flags/sandbox-arg.ts";
import { prose } from "../../cli/output/prose.ts";
import { parseCheckTarget } from "../../cli/parsers/check-target.ts";
import { parseSandboxRef } from "../../cli/parsers/names.ts";
import { renderCheck } from "../../cli/view/network-view.ts";

export default class NetCheck extends SbxCommand {
  static override summary = "Ask whether a sandbox may do a request, and which rule says so.";

  static override description = prose(`
The answer is the enforcement's own. Nothing is sent, and no name is resolved: an address that is not public is found
when it is dialled.

The exit status is 0 if it is allowed and 1 if it is denied. A host alone stands for https://, a host and a port for a
connection of any kind.`);

  static override usage = ["net check [OPTIONS] SANDBOX [METHOD] URL"];

  static override examples = [
    { description: "A request", command: "<%= config.bin %> net check web POST https://api.example.com/v1/messages" },
    { description: "A connection", command: "<%= config.bin %> net check web db.example.com:5432" },
  ];

  static override args = {
    sandbox: sandboxArg,
    target: Args.string({
      description: "A URL, perhaps with a method before it.",
      multiple: true,
      required: true,
      ignoreStdin: true,
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(NetCheck);
    const ref = parseSandboxRef(args.sandbox);
    const { method, url, text } = parseCheckTarget(args.target);
    await using runtime = await this.openRuntime();
    const answer = await runtime.network.check(ref, method, url, { signal: this.interrupt.signal });
    const display = { palette: await this.stdoutPalette(), width: this.stdoutWidth };
    if (flags.json) this.printJson(answer);
    else if (!flags.quiet) this.print(renderCheck(text, answer, ref, display));
    if (answer.decision.verdict === "deny") this.context.setExitStatus(1);
  }
}
