/** `sbx checkpoint remove`: removes checkpoints. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { forEachOf } from "../../cli/for-each.ts";
import { checkpointJson } from "../../cli/view/checkpoint-view.ts";

export default class CheckpointRemove extends SbxCommand {
  static override aliases = ["checkpoint:rm"];
  static override summary = "Remove checkpoints.";

  static override description = "Sandboxes that were made of them go on.";

  static override examples = [{ description: "One", command: "<%= config.bin %> checkpoint remove warm" }];

  static override args = {
    checkpoints: Args.string({
      description: "Names or ids, or the beginnings of either.",
      multiple: true,
      required: true,
      ignoreStdin: true,
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CheckpointRemove);
    await using runtime = await this.openRuntime();
    const removed = await forEachOf(args.checkpoints, async (ref) => {
      const checkpoint = await runtime.checkpoints.remove(ref, { signal: this.interrupt.signal });
      if (!flags.json && !flags.quiet) this.print(checkpoint.id);
      return checkpoint;
    });
    if (flags.json) this.printJson(removed.results.map(checkpointJson));
    removed.throwFailures("checkpoints");
  }
}
