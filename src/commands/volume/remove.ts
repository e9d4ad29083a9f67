/** `sbx volume remove`: removes volumes, for a day not for good. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { forEachOf } from "../../cli/for-each.ts";
import { parseDiskRef } from "../../cli/parsers/volume-mount.ts";
import { volumeJson } from "../../cli/view/volume-view.ts";

export default class VolumeRemove extends SbxCommand {
  static override aliases = ["volume:rm", "volume:delete"];
  static override summary = "Remove volumes.";

  static override description =
    "Their names are free at once. Their contents can be brought back for 24 hours (sbx volume restore); sbx prune --volumes makes room before that. Snapshots of a volume stay. One that a sandbox has is not removed.";

  static override examples = [
    { description: "One", command: "<%= config.bin %> volume remove data" },
    { description: "And back", command: "<%= config.bin %> volume restore data" },
  ];

  static override args = {
    volumes: Args.string({
      description: "Names or ids, or beginnings of either.",
      multiple: true,
      required: true,
      ignoreStdin: true,
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeRemove);
    const refs = args.volumes.map(parseDiskRef);
    await using runtime = await this.openRuntime();
    const removed = await forEachOf(refs, async (ref) => {
      const volume = await runtime.volumes.remove(ref, { signal: this.interrupt.signal });
      if (!flags.json && !flags.quiet) this.print(volume.id);
      return volume;
    });
    if (flags.json) this.printJson(removed.results.map(volumeJson));
    removed.throwFailures("volumes");
  }
}
