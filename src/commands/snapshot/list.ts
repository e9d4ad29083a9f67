/** `sbx snapshot list`: the snapshots. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { renderTable } from "../../cli/output/table.ts";
import { SNAPSHOT_COLUMNS, snapshotJson, snapshotRow } from "../../cli/view/snapshot-view.ts";

export default class SnapshotList extends SbxCommand {
  static override aliases = ["snapshot:ls"];
  static override summary = "List the snapshots.";

  static override examples = [
    { description: "All of them", command: "<%= config.bin %> snapshot list" },
    { description: "What was made from which", command: "<%= config.bin %> snapshot tree" },
  ];

  static override args = {
    search: Args.string({ description: "A part of the name, or the beginning of the id.", ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SnapshotList);
    await using runtime = await this.openRuntime();
    const { search = "" } = args;
    const snapshots = await runtime.snapshots.list({ search, signal: this.interrupt.signal });
    if (flags.json) {
      this.printJson(snapshots.map(snapshotJson));
    } else if (flags.quiet) {
      for (const { id } of snapshots) this.print(id);
    } else {
      const rows = snapshots.map((snapshot) => snapshotRow(snapshot, this.context.now()));
      const display = { width: this.stdoutWidth, palette: await this.stdoutPalette() };
      this.print(renderTable(SNAPSHOT_COLUMNS, rows, display));
    }
  }
}
