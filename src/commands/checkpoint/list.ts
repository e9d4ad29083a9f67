/** `sbx checkpoint list`: the checkpoints. */
import { SbxCommand } from "../../cli/base-command.ts";
import { renderTable } from "../../cli/output/table.ts";
import { CHECKPOINT_COLUMNS, checkpointJson, checkpointRow } from "../../cli/view/checkpoint-view.ts";

export default class CheckpointList extends SbxCommand {
  static override aliases = ["checkpoint:ls"];
  static override summary = "List the checkpoints.";

  static override examples = [{ description: "All of them", command: "<%= config.bin %> checkpoint list" }];

  async run(): Promise<void> {
    const { flags } = await this.parse(CheckpointList);
    await using runtime = await this.openRuntime();
    const checkpoints = await runtime.checkpoints.list({ signal: this.interrupt.signal });
    if (flags.json) {
      this.printJson(checkpoints.map(checkpointJson));
    } else if (flags.quiet) {
      for (const { id } of checkpoints) this.print(id);
    } else if (checkpoints.length === 0 && this.context.stdout.isTTY === true) {
      this.notice("no checkpoint yet; sbx checkpoint create makes one");
    } else {
      const rows = checkpoints.map((checkpoint) => checkpointRow(checkpoint, this.context.now()));
      const palette = await this.stdoutPalette();
      this.print(renderTable(CHECKPOINT_COLUMNS, rows, { width: this.stdoutWidth, palette }));
    }
  }
}
