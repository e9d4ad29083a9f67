/** `sbx snapshot inspect`: all about one snapshot. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { switchFlag } from "../../cli/flags/common.ts";
import { renderFields } from "../../cli/output/table.ts";
import { parseDiskRef } from "../../cli/parsers/volume-mount.ts";
import { snapshotFields, snapshotJson } from "../../cli/view/snapshot-view.ts";

export default class SnapshotInspect extends SbxCommand {
  static override summary = "Show everything about a snapshot.";

  static override description =
    "Says what stands on it, and what is wrong if one of the files that it is made of is missing or has changed. With --verify the tables of every file are read as well. The exit status is 1 for a snapshot that is damaged.";

  static override examples = [
    { description: "What stands on it", command: "<%= config.bin %> snapshot inspect tools" },
    { description: "Whether it is whole", command: "<%= config.bin %> snapshot inspect tools --verify" },
  ];

  static override args = {
    snapshot: Args.string({
      description: "Name or id, or the beginning of either.",
      required: true,
      ignoreStdin: true,
    }),
  };

  static override flags = { verify: switchFlag({ summary: "Read the tables of all of its files." }) };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SnapshotInspect);
    const ref = parseDiskRef(args.snapshot);
    await using runtime = await this.openRuntime();
    const snapshot = await runtime.snapshots.get(ref, { verify: flags.verify, signal: this.interrupt.signal });
    if (flags.json) this.printJson(snapshotJson(snapshot));
    else if (flags.quiet) this.print(snapshot.id);
    else this.print(renderFields(snapshotFields(snapshot, this.context.now()), await this.stdoutPalette()));
    if (snapshot.faults.length > 0) this.context.setExitStatus(1);
  }
}
