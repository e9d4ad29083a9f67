/** `sbx context remove`: contexts are forgotten, with their tokens. */
import * as Args from "@oclif/core/args";
import { changeContexts, findStored } from "../../cli/contexts/change-contexts.ts";
import { forEachOf } from "../../cli/for-each.ts";
import { usageError } from "../../cli/parsers/usage-error.ts";
import { PlainCommand } from "../../cli/plain-command.ts";
import { LOCAL_CONTEXT } from "../../runtime/contexts/target.ts";

export default class ContextRemove extends PlainCommand {
  static override aliases = ["context:rm"];
  static override summary = "Forget contexts, with their tokens.";
  static override description =
    "Not the one in use: choose another one before. The servers still take the tokens until they are revoked there.";

  static override examples = [{ description: "By name", command: "<%= config.bin %> context remove work" }];

  static override args = {
    names: Args.string({ description: "Contexts.", multiple: true, required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ContextRemove);
    const removed = await forEachOf(args.names, async (name) => {
      await changeContexts(this.context.env, (contexts) => {
        if (name === LOCAL_CONTEXT) throw usageError("the context local is this machine, and always there");
        findStored(contexts, name);
        if (contexts.current === name) throw usageError(`the context ${name} is in use`, "sbx context use local");
        Reflect.deleteProperty(contexts.contexts, name);
      });
      if (!flags.json && !flags.quiet) this.print(name);
      return name;
    });
    if (flags.json) this.printJson(removed.results);
    removed.throwFailures("contexts");
  }
}
