/** `sbx volume resize`: makes a volume larger. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { CAPACITY_LIMITS } from "../../cli/flags/disks.ts";
import { displaySize, parseSize } from "../../cli/parsers/size.ts";
import { parseDiskRef } from "../../cli/parsers/volume-mount.ts";
import { volumeJson } from "../../cli/view/volume-view.ts";

export default class VolumeResize extends SbxCommand {
  static override summary = "Make a volume larger.";

  static override description =
    "Also while a sandbox has it; its file system grows with it, or when it is next used. A volume never becomes smaller.";

  static override examples = [{ description: "To 20 GB", command: "<%= config.bin %> volume resize data 20GB" }];

  static override args = {
    volume: Args.string({ description: "Name or id, or the beginning of either.", required: true, ignoreStdin: true }),
    capacity: Args.string({ description: "The new size, such as 20GB.", required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeResize);
    const ref = parseDiskRef(args.volume);
    const capacity = parseSize(args.capacity, CAPACITY_LIMITS);
    await using runtime = await this.openRuntime();
    const volume = await runtime.volumes.resize(ref, capacity, { signal: this.interrupt.signal });
    if (flags.json) this.printJson(volumeJson(volume));
    else if (!flags.quiet) this.notice(`${volume.slug} has ${displaySize(volume.capacityBytes)}`);
  }
}
