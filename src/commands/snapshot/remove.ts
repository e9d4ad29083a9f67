/** `sbx snapshot remove`: removes snapshots that nothing stands on. */
import * as Args from "@oclif/core/args";
import { EachCommand } from "../../cli/each-command.ts";
import { parseDiskRef } from "../../cli/parsers/volume-mount.ts";
import { snapshotJson } from "../../cli/view/snapshot-view.ts";

export default class SnapshotRemove extends EachCommand {
  static override aliases = ["snapshot:rm", "snapshot:delete"];
  static override summary = "Remove snapshots.";

  static override description =
    "At once and for good. Refused for one that volumes, sandboxes or other snapshots were made from; the message lists them. The volume that it was taken from, and later snapshots of that, are not in the way.";

  static override examples = [
    { description: "One", command: "<%= config.bin %> snapshot remove monday" },
    { description: "What stands on which", command: "<%= config.bin %> snapshot tree" },
  ];

  static override args = {
    snapshots: Args.string({
      description: "Names or ids, or beginnings of either.",
      multiple: true,
      required: true,
      ignoreStdin: true,
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SnapshotRemove);
    const refs = args.snapshots.map(parseDiskRef);
    await using runtime = await this.openRuntime();
    await this.each(refs, flags, {
      what: "snapshots",
      act: async (ref) => runtime.snapshots.remove(ref, { signal: this.interrupt.signal }),
      toJson: snapshotJson,
    });
  }
}
