/** `sbx layer env`: the variables of a layer. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { readVariables, variableFlags, variablesArg } from "../../cli/flags/app-variables.ts";
import { renderTable } from "../../cli/output/table.ts";
import { VARIABLE_COLUMNS, variableRow } from "../../cli/view/app-view.ts";

export default class LayerEnv extends SbxCommand {
  static override summary = "Show or change the variables of a layer.";

  static override description =
    "Without a change it lists them. Revisions that are there keep what they were made with. A secret is asked for, or read from stdin, and never shown again.";

  static override examples = [
    { description: "What there is", command: "<%= config.bin %> layer env common" },
    { description: "Some more", command: "<%= config.bin %> layer env common REGION=here" },
    { description: "A secret", command: "<%= config.bin %> layer env common --secret DB_PASSWORD < password.txt" },
  ];

  static override args = {
    layer: Args.string({ description: "Name or id of a layer.", required: true, ignoreStdin: true }),
    variables: variablesArg,
  };

  static override flags = variableFlags;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(LayerEnv);
    const { signal } = this.interrupt;
    await using runtime = await this.openRuntime();
    const { layers } = runtime.apps;
    const before = await layers.get(args.layer, { signal });
    const changes = await readVariables(args.variables ?? [], flags, { context: this.context, signal });
    const { env } = changes.length === 0 ? before : await layers.update(before.id, { env: changes }, { signal });
    if (flags.json) this.printJson(env);
    else if (flags.quiet) for (const { key } of env) this.print(key);
    else {
      const display = { width: this.stdoutWidth, palette: await this.stdoutPalette() };
      this.print(renderTable(VARIABLE_COLUMNS, env.map(variableRow), display));
    }
  }
}
