/** `sbx volume list`: the volumes. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { switchFlag } from "../../cli/flags/common.ts";
import { renderTable } from "../../cli/output/table.ts";
import { REMOVED_COLUMNS, removedRow, VOLUME_COLUMNS, volumeJson, volumeRow } from "../../cli/view/volume-view.ts";

export default class VolumeList extends SbxCommand {
  static override aliases = ["volume:ls"];
  static override summary = "List the volumes.";

  static override description =
    "USED is what a volume takes on this machine beyond the snapshot or image that it was made from.";

  static override examples = [
    { description: "All of them", command: "<%= config.bin %> volume list" },
    { description: "Those with db in their names", command: "<%= config.bin %> volume list db" },
    { description: "Those that can be restored", command: "<%= config.bin %> volume list --removed" },
  ];

  static override args = {
    search: Args.string({ description: "A part of the name, or the beginning of the id.", ignoreStdin: true }),
  };

  static override flags = {
    removed: switchFlag({ summary: "Those that were removed, and can still be restored." }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeList);
    await using runtime = await this.openRuntime();
    const { search = "" } = args;
    const volumes = await runtime.volumes.list({ search, removed: flags.removed, signal: this.interrupt.signal });
    if (flags.json) {
      this.printJson(volumes.map(volumeJson));
    } else if (flags.quiet) {
      for (const { id } of volumes) this.print(id);
    } else {
      const now = this.context.now();
      const rows = volumes.map((volume) => (flags.removed ? removedRow(volume, now) : volumeRow(volume, now)));
      const display = { width: this.stdoutWidth, palette: await this.stdoutPalette() };
      this.print(renderTable(flags.removed ? REMOVED_COLUMNS : VOLUME_COLUMNS, rows, display));
    }
  }
}
