/** `sbx volume export`: a volume as one file. */
import * as Args from "@oclif/core/args";
import { ExportCommand, exportFileArg, exportFlags } from "../../cli/export-command.ts";
import type { ExportTarget } from "../../runtime/disks.ts";
import type { CallOptions, Runtime } from "../../runtime/runtime.ts";

export default class VolumeExport extends ExportCommand {
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
    file: exportFileArg,
  };

  static override flags = exportFlags;

  protected async write(runtime: Runtime, ref: string, target: ExportTarget, options: CallOptions) {
    return runtime.volumes.export(ref, target, options);
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeExport);
    await this.exportTo(args.volume, args.file, flags);
  }
}
