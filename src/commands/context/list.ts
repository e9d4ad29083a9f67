/** `sbx context list`: the places where commands can work. */
import { loadContexts } from "../../cli/contexts/change-contexts.ts";
import { findContext, type ChosenContext } from "../../cli/contexts/find-context.ts";
import { renderTable } from "../../cli/output/table.ts";
import { SbxError } from "../../runtime/errors.ts";
import { PlainCommand } from "../../cli/plain-command.ts";
import { CONTEXT_COLUMNS, contextRow, contextViews } from "../../cli/view/context-view.ts";

export default class ContextList extends PlainCommand {
  static override aliases = ["context:ls"];
  static override summary = "List the contexts: this machine, and the servers that you have logged in to.";
  static override description = "The one that commands use has an asterisk.";

  static override examples = [
    { description: "All of them", command: "<%= config.bin %> context list" },
    {
      description: "The address of the one in use",
      command: `<%= config.bin %> context list --json | jq -r '.[] | select(.current).endpoint'`,
    },
  ];

  async run(): Promise<void> {
    const { flags } = await this.parse(ContextList);
    const views = contextViews(await loadContexts(this.context.env), await this.#inUse());
    if (flags.json) this.printJson(views);
    else if (flags.quiet) for (const { name } of views) this.print(name);
    else {
      const options = { width: this.stdoutWidth, palette: await this.stdoutPalette() };
      this.print(renderTable(CONTEXT_COLUMNS, views.map(contextRow), options));
    }
  }

  /** A wrong SBX_CONTEXT is what somebody may be looking here for. */
  async #inUse(): Promise<ChosenContext | undefined> {
    try {
      return await findContext(this.context.env, undefined);
    } catch (error) {
      if (!(error instanceof SbxError) || error.code === "config_invalid") throw error;
      this.notice(error.message);
      return undefined;
    }
  }
}
