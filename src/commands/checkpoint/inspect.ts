/** `sbx checkpoint inspect`: all about one checkpoint. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { renderFields } from "../../cli/output/table.ts";
import { checkpointFields, checkpointJson } from "../../cli/view/checkpoint-view.ts";

export default class CheckpointInspect extends SbxCommand {
  static override summary = "Show everything about a checkpoint.";

  static override description = "One whose files were changed or are gone is shown with what is wrong.";

  static override examples = [{ description: "One", command: "<%= config.bin %> checkpoint inspect warm" }];

  static override args = {
    checkpoint: Args.string({
      description: "Name or id, or the beginning of either.",
      required: true,
      ignoreStdin: true,
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CheckpointInspect);
    await using runtime = await this.openRuntime();
    const checkpoint = await runtime.checkpoints.get(args.checkpoint, { signal: this.interrupt.signal });
    if (flags.json) this.printJson(checkpointJson(checkpoint));
    else if (flags.quiet) this.print(checkpoint.id);
    else this.print(renderFields(checkpointFields(checkpoint, this.context.now()), await this.stdoutPalette()));
  }
}
