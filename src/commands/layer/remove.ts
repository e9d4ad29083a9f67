/** `sbx layer remove`: removes layers that nothing refers to. */
import * as Args from "@oclif/core/args";
import { EachCommand } from "../../cli/each-command.ts";
import { layerJson } from "../../cli/view/layer-view.ts";

export default class LayerRemove extends EachCommand {
  static override aliases = ["layer:rm", "layer:delete"];
  static override summary = "Remove layers.";

  static override description = "One that an app or another layer has is not removed.";

  static override examples = [{ description: "One", command: "<%= config.bin %> layer remove common" }];

  static override args = {
    layers: Args.string({ description: "Names or ids.", multiple: true, required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(LayerRemove);
    await using runtime = await this.openRuntime();
    await this.each(args.layers, flags, {
      what: "layers",
      act: async (ref) => runtime.apps.layers.remove(ref, { signal: this.interrupt.signal }),
      toJson: layerJson,
    });
  }
}
