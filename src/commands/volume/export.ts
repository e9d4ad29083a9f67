/** `sbx volume export`: a volume as one file. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { exportLine, exportTarget } from "../../cli/disk-files.ts";
import { switchFlag } from "../../cli/flags/common.ts";
import { parseDiskRef } from "../../cli/parsers/volume-mount.ts";

export default class VolumeExport extends SbxCommand {
  static override summary = "Write a volume to one file.";

  static override description =
    "All that it holds, with what it stands on, without holes, compressed and with a checksum. A volume that a sandbox writes to has to be detached first, or its snapshot exported.";

  static override examples = [
    { description: "To a file", command: "<%= config.bin %> volume export data data.sbxdisk" },
    {
      description: "To another machine",
      command: "<%= config.bin %> volume export data - | ssh host <%= config.bin %> volume import -",
    },
  ];

  static override args = {
    volume: Args.string({ description: "Name or id, or the beginning of either.", required: true, ignoreStdin: true }),
    file: Args.string({ description: "File to write; - for stdout.", required: true, ignoreStdin: true }),
  };

  static override flags = { force: switchFlag({ char: "f", summary: "Replace the file if it is there." }) };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeExport);
    const ref = parseDiskRef(args.volume);
    const target = exportTarget(this.context, args.file, flags.force);
    await using runtime = await this.openRuntime();
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const call = { signal: this.interrupt.signal, onProgress: progress.onProgress };
    const report = await runtime.volumes.export(ref, target, call);
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
