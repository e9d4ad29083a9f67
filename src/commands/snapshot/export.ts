/** `sbx snapshot export`: a snapshot as one file. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { exportLine, exportTarget } from "../../cli/disk-files.ts";
import { switchFlag } from "../../cli/flags/common.ts";
import { parseDiskRef } from "../../cli/parsers/volume-mount.ts";

export default class SnapshotExport extends SbxCommand {
  static override summary = "Write a snapshot to one file.";

  static override description =
    "All that it holds, with what it stands on, without holes, compressed and with a checksum. It stands on nothing where it is imported.";

  static override examples = [
    { description: "To a file", command: "<%= config.bin %> snapshot export tools tools.sbxdisk" },
    {
      description: "To another machine",
      command: "<%= config.bin %> snapshot export tools - | ssh host <%= config.bin %> snapshot import -",
    },
  ];

  static override args = {
    snapshot: Args.string({
      description: "Name or id, or the beginning of either.",
      required: true,
      ignoreStdin: true,
    }),
    file: Args.string({ description: "File to write; - for stdout.", required: true, ignoreStdin: true }),
  };

  static override flags = { force: switchFlag({ char: "f", summary: "Replace the file if it is there." }) };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SnapshotExport);
    const ref = parseDiskRef(args.snapshot);
    const target = exportTarget(this.context, args.file, flags.force);
    await using runtime = await this.openRuntime();
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const call = { signal: this.interrupt.signal, onProgress: progress.onProgress };
    const report = await runtime.snapshots.export(ref, target, call);
    progress.stop();
    if (!flags.json) {
      if (!flags.quiet) this.notice(exportLine(ref, report));
    } else if (args.file === "-") {
      // Stdout is the disk's.
      this.context.stderr.write(`${JSON.stringify(report)}\n`);
    } else {
      this.printJson(report);
    }
  }
}
