/** `sbx volume inspect`: all about one volume. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { switchFlag } from "../../cli/flags/common.ts";
import { renderFields } from "../../cli/output/table.ts";
import { parseDiskRef } from "../../cli/parsers/volume-mount.ts";
import { volumeFields, volumeJson } from "../../cli/view/volume-view.ts";

export default class VolumeInspect extends SbxCommand {
  static override summary = "Show everything about a volume.";

  static override description =
    "Says who has it, and what is wrong if one of the files that it is made of is missing or has changed. With --verify the tables of every file are read as well. The exit status is 1 for a volume that is damaged.";

  static override examples = [
    { description: "Who has it", command: "<%= config.bin %> volume inspect data" },
    { description: "Whether it is whole", command: "<%= config.bin %> volume inspect data --verify" },
  ];

  static override args = {
    volume: Args.string({ description: "Name or id, or the beginning of either.", required: true, ignoreStdin: true }),
  };

  static override flags = { verify: switchFlag({ summary: "Read the tables of all of its files." }) };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeInspect);
    const ref = parseDiskRef(args.volume);
    await using runtime = await this.openRuntime();
    const volume = await runtime.volumes.get(ref, { verify: flags.verify, signal: this.interrupt.signal });
    if (flags.json) this.printJson(volumeJson(volume));
    else if (flags.quiet) this.print(volume.id);
    else this.print(renderFields(volumeFields(volume, this.context.now()), await this.stdoutPalette()));
    if (volume.faults.length > 0) this.context.setExitStatus(1);
  }
}
