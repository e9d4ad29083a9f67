/** `sbx context show`: where commands work, and why. */
import * as Args from "@oclif/core/args";
import { findContext } from "../../cli/contexts/find-context.ts";
import { renderFields } from "../../cli/output/table.ts";
import { PlainCommand } from "../../cli/plain-command.ts";
import { chosenJson, describeContext } from "../../cli/view/context-view.ts";

export default class ContextShow extends PlainCommand {
  static override summary = "Show the context that commands use, and why it is that one.";
  static override description = "The token is never shown.";

  static override examples = [
    { description: "Where am I?", command: "<%= config.bin %> context show" },
    { description: "Another one", command: "<%= config.bin %> context show work" },
  ];

  static override args = {
    name: Args.string({ description: "Context; the one in use if absent.", ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ContextShow);
    const chosen = await findContext(this.context.env, args.name);
    if (flags.json) this.printJson(chosenJson(chosen));
    else if (flags.quiet) this.print(chosen.name);
    else this.print(renderFields(describeContext(chosen), await this.stdoutPalette()));
  }
}
