/** `sbx volume create`: a disk that outlives sandboxes. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import { capacityFlag } from "../../cli/flags/disks.ts";
import { prose } from "../../cli/output/prose.ts";
import { parseImageRef } from "../../cli/parsers/names.ts";
import { usageError } from "../../cli/parsers/usage-error.ts";
import { parseDiskName } from "../../cli/parsers/volume-mount.ts";
import { volumeJson } from "../../cli/view/volume-view.ts";

export default class VolumeCreate extends SbxCommand {
  static override aliases = ["volume:new"];
  static override summary = "Make a volume: a disk that outlives sandboxes.";

  static override description = prose(`
An empty volume has an ext4 file system, and takes room on this machine only as it is filled. One sandbox at a time can
write to it, or any number can read it.

With --from it begins with what an image or a snapshot holds, which costs nothing until something of it is changed. One
from an image, or from a snapshot of a sandbox, is bootable: sbx create --root starts from it, and what is installed
there stays.

Sizes: kB, MB, GB are decimal; KiB, MiB, GiB and a bare k, M, G are binary.`);

  static override examples = [
    { description: "For data", command: "<%= config.bin %> volume create data --capacity 10GB" },
    { description: "Used", command: "<%= config.bin %> create --volume data:/data" },
    { description: "A system to install things in", command: "<%= config.bin %> volume create dev --from default" },
  ];

  static override args = {
    name: Args.string({ description: "Name for the volume.", required: true, ignoreStdin: true }),
  };

  static override flags = {
    capacity: capacityFlag({ char: "c" }),
    from: Flags.string({
      summary: "Image or snapshot to begin with.",
      helpValue: "NAME",
      parse: async (text) => parseImageRef(text),
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeCreate);
    const slug = parseDiskName(args.name);
    const { capacity, from } = flags;
    if (capacity === undefined && from === undefined) {
      throw usageError("an empty volume needs a capacity", `sbx volume create ${slug} --capacity 10GB`);
    }
    const spec = {
      slug,
      ...(capacity === undefined ? {} : { capacityBytes: capacity }),
      ...(from === undefined ? {} : { from }),
    };
    await using runtime = await this.openRuntime();
    const volume = await runtime.volumes.create(spec, { signal: this.interrupt.signal });
    if (flags.json) this.printJson(volumeJson(volume));
    else this.print(volume.id);
  }
}
