/** `sbx volume import`: a volume of an exported file. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { importSource } from "../../cli/disk-files.ts";
import { parseDiskName } from "../../cli/parsers/volume-mount.ts";
import { volumeJson } from "../../cli/view/volume-view.ts";

export default class VolumeImport extends SbxCommand {
  static override summary = "Make a volume of a file that sbx volume export wrote.";

  static override description =
    "The file need not be trusted: one that was cut off, changed or forged is refused, and nothing of it stays. What its file system holds is for sandboxes to find out.";

  static override examples = [
    { description: "Under its own name", command: "<%= config.bin %> volume import data.sbxdisk" },
    { description: "Under another one", command: "<%= config.bin %> volume import data.sbxdisk data-2" },
  ];

  static override args = {
    file: Args.string({ description: "File to read; - for stdin.", required: true, ignoreStdin: true }),
    name: Args.string({ description: "Name for the volume; the one in the file if absent.", ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeImport);
    const spec = args.name === undefined ? {} : { slug: parseDiskName(args.name) };
    const source = importSource(this.context, args.file);
    await using runtime = await this.openRuntime();
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const call = { signal: this.interrupt.signal, onProgress: progress.onProgress };
    const volume = await runtime.volumes.import(source, spec, call);
    progress.stop();
    if (flags.json) this.printJson(volumeJson(volume));
    else this.print(volume.id);
  }
}
