/** `sbx snapshot export`: a snapshot as one file. */
import * as Args from "@oclif/core/args";
import { ExportCommand, exportFileArg, exportFlags } from "../../cli/export-command.ts";
import type { ExportTarget } from "../../runtime/disks.ts";
import type { CallOptions, Runtime } from "../../runtime/runtime.ts";

export default class SnapshotExport extends ExportCommand {
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
    file: exportFileArg,
  };

  static override flags = exportFlags;

  protected async write(runtime: Runtime, ref: string, target: ExportTarget, options: CallOptions) {
    return runtime.snapshots.export(ref, target, options);
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SnapshotExport);
    await this.exportTo(args.snapshot, args.file, flags);
  }
}
