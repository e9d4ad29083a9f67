/** `sbx layer list`: the layers. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { renderTable } from "../../cli/output/table.ts";
import { LAYER_COLUMNS, layerJson, layerRow } from "../../cli/view/layer-view.ts";

export default class LayerList extends SbxCommand {
  static override aliases = ["layer:ls"];
  static override summary = "List the layers, and how many apps have them.";

  static override examples = [
    { description: "All of them", command: "<%= config.bin %> layer list" },
    { description: "Those with db in their names", command: "<%= config.bin %> layer list db" },
  ];

  static override args = {
    search: Args.string({ description: "A part of the name or the description.", ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(LayerList);
    const { search = "" } = args;
    await using runtime = await this.openRuntime();
    const layers = await runtime.apps.layers.list({ search, signal: this.interrupt.signal });
    if (flags.json) {
      this.printJson(layers.map(layerJson));
    } else if (flags.quiet) {
      for (const { slug } of layers) this.print(slug);
    } else {
      const rows = layers.map((layer) => layerRow(layer, this.context.now()));
      this.print(renderTable(LAYER_COLUMNS, rows, { width: this.stdoutWidth, palette: await this.stdoutPalette() }));
    }
  }
}
