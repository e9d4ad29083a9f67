/** `sbx volume snapshot`: keeps what a volume holds now. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { parseDiskName, parseDiskRef } from "../../cli/parsers/volume-mount.ts";
import { snapshotJson } from "../../cli/view/snapshot-view.ts";

export default class VolumeSnapshot extends SbxCommand {
  static override summary = "Keep what a volume holds now as a snapshot.";

  static override description =
    "The same as sbx snapshot create NAME --from VOLUME. It takes no time and no room, however much the volume holds. Of a volume that a sandbox writes to, the file system stands still for a moment.";

  static override examples = [{ description: "Of data", command: "<%= config.bin %> volume snapshot data monday" }];

  static override args = {
    volume: Args.string({ description: "Name or id, or the beginning of either.", required: true, ignoreStdin: true }),
    name: Args.string({ description: "Name for the snapshot.", required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeSnapshot);
    const ref = parseDiskRef(args.volume);
    const name = parseDiskName(args.name);
    await using runtime = await this.openRuntime();
    const snapshot = await runtime.volumes.snapshot(ref, name, { signal: this.interrupt.signal });
    if (flags.json) this.printJson(snapshotJson(snapshot));
    else this.print(snapshot.id);
  }
}
