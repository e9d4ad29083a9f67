/** `sbx inspect`: all about one sandbox. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../cli/base-command.ts";
import { renderFields } from "../cli/output/table.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { sandboxFields, sandboxJson } from "../cli/view/sandbox-view.ts";

export default class Inspect extends SbxCommand {
  static override summary = "Show everything about a sandbox.";

  static override examples = [
    { description: "For a person", command: "<%= config.bin %> inspect web" },
    { description: "For a program", command: "<%= config.bin %> inspect web --json | jq -r .expiresAt" },
  ];

  static override args = {
    sandbox: Args.string({ description: "Id or name, or the beginning of either.", required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Inspect);
    await using runtime = await this.openRuntime();
    const info = await runtime.get(parseSandboxRef(args.sandbox), { signal: this.interrupt.signal });
    if (flags.json) this.printJson(sandboxJson(info));
    else if (flags.quiet) this.print(info.id);
    else this.print(renderFields(sandboxFields(info, this.context.now()), await this.stdoutPalette()));
  }
}
