/** `sbx layer create`: variables that several apps have in common. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import { layerFlag } from "../../cli/flags/app.ts";
import { layerJson } from "../../cli/view/layer-view.ts";

export default class LayerCreate extends SbxCommand {
  static override aliases = ["layer:new"];
  static override summary = "Make a layer: variables that several apps have in common.";

  static override description =
    "Its variables are set with sbx layer env. An app has it by sbx app create --layer, or sbx app update --layer; an app's own variables go before those of its layers.";

  static override examples = [
    { description: "One", command: "<%= config.bin %> layer create common --description 'for all of them'" },
    { description: "One that includes another", command: "<%= config.bin %> layer create web --layer common" },
  ];

  static override args = {
    name: Args.string({ description: "Name for the layer.", required: true, ignoreStdin: true }),
  };

  static override flags = {
    description: Flags.string({ summary: "What it is for.", helpValue: "TEXT" }),
    layer: layerFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(LayerCreate);
    const spec = {
      slug: args.name,
      ...(flags.description !== undefined && { description: flags.description }),
      ...(flags.layer !== undefined && { layers: flags.layer }),
    };
    await using runtime = await this.openRuntime();
    const layer = await runtime.apps.layers.create(spec, { signal: this.interrupt.signal });
    if (flags.json) this.printJson(layerJson(layer));
    else this.print(layer.slug);
  }
}
