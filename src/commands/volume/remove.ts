/** `sbx volume remove`: removes volumes, for a day not for good. */
import * as Args from "@oclif/core/args";
import { EachCommand } from "../../cli/each-command.ts";
import { parseDiskRef } from "../../cli/parsers/volume-mount.ts";
import { volumeJson } from "../../cli/view/volume-view.ts";

export default class VolumeRemove extends EachCommand {
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
    await this.each(refs, flags, {
      what: "volumes",
      act: async (ref) => runtime.volumes.remove(ref, { signal: this.interrupt.signal }),
      toJson: volumeJson,
    });
  }
}
