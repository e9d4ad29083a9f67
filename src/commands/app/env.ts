/** `sbx app env`: the variables of an app. */
import { SbxCommand } from "../../cli/base-command.ts";
import { appArg } from "../../cli/flags/app.ts";
import { readVariables, variableFlags, variablesArg } from "../../cli/flags/app-variables.ts";
import { prose } from "../../cli/output/prose.ts";
import { renderTable } from "../../cli/output/table.ts";
import { VARIABLE_COLUMNS, variableRow } from "../../cli/view/app-view.ts";

export default class AppEnv extends SbxCommand {
  static override summary = "Show or change the variables of an app.";

  static override description = prose(`
Without a change it lists them. Revisions that are there keep the variables that they were made with: deploy again.

A secret is asked for, or read from stdin; it is never shown again. Unlike a secret of a sandbox (sbx secret), the program
of the app has its value.`);

  static override examples = [
    { description: "What there is", command: "<%= config.bin %> app env shop" },
    { description: "Some more", command: "<%= config.bin %> app env shop MODE=fast LEVEL=2" },
    {
      description: "One for production alone",
      command: "<%= config.bin %> app env shop URL=https://a.example --for production",
    },
    { description: "A secret", command: "<%= config.bin %> app env shop --secret API_KEY < key.txt" },
  ];

  static override args = { app: appArg, variables: variablesArg };

  static override flags = variableFlags;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppEnv);
    const { signal } = this.interrupt;
    await using runtime = await this.openRuntime();
    const { id } = await runtime.apps.get(args.app, { signal });
    const env = await readVariables(args.variables ?? [], flags, { context: this.context, signal });
    const app =
      env.length === 0 ? await runtime.apps.get(id, { signal }) : await runtime.apps.update(id, { env }, { signal });
    if (flags.json) this.printJson(app.env);
    else if (flags.quiet) for (const { key } of app.env) this.print(key);
    else {
      const display = { width: this.stdoutWidth, palette: await this.stdoutPalette() };
      this.print(renderTable(VARIABLE_COLUMNS, app.env.map(variableRow), display));
    }
  }
}
