/** `sbx volume restore`: brings a removed volume back. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import { parseDiskName, parseDiskRef } from "../../cli/parsers/volume-mount.ts";
import { volumeJson } from "../../cli/view/volume-view.ts";

export default class VolumeRestore extends SbxCommand {
  static override summary = "Bring a volume back that was removed within the last 24 hours.";

  static override examples = [
    { description: "Under its name", command: "<%= config.bin %> volume restore data" },
    { description: "Where that is taken", command: "<%= config.bin %> volume restore data --name data-before" },
  ];

  static override args = {
    volume: Args.string({ description: "Name or id, or the beginning of either.", required: true, ignoreStdin: true }),
  };

  static override flags = {
    name: Flags.string({
      char: "n",
      summary: "Another name for it.",
      helpValue: "NAME",
      parse: async (text) => parseDiskName(text),
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeRestore);
    const ref = parseDiskRef(args.volume);
    await using runtime = await this.openRuntime();
    const volume = await runtime.volumes.restore(ref, {
      signal: this.interrupt.signal,
      ...(flags.name === undefined ? {} : { slug: flags.name }),
    });
    if (flags.json) this.printJson(volumeJson(volume));
    else if (!flags.quiet) this.print(volume.id);
  }
}
