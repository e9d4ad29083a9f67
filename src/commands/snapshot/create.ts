/** `sbx snapshot create`: keeps what a volume or a sandbox's disk holds now. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import { prose } from "../../cli/output/prose.ts";
import { parseSandboxRef } from "../../cli/parsers/names.ts";
import { parseDiskName } from "../../cli/parsers/volume-mount.ts";
import { snapshotJson } from "../../cli/view/snapshot-view.ts";

export default class SnapshotCreate extends SbxCommand {
  static override aliases = ["snapshot:new"];
  static override summary = "Keep what a volume or a running sandbox's disk holds now.";

  static override description = prose(`
A snapshot never changes. It takes no time and no room, however much there is: what is written afterwards goes
elsewhere. Of what is in use, the file system stands still for a moment, so that it is whole.

From a snapshot of a sandbox any number of new ones start as quickly as from the base image: sbx create --root NAME. Also
sbx volume create --from NAME makes a volume of it. Memory and processes are not part of it.`);

  static override examples = [
    { description: "Toolchains, installed once", command: "<%= config.bin %> snapshot create tools --from box" },
    { description: "Used", command: "<%= config.bin %> create --root tools" },
    { description: "What a volume holds", command: "<%= config.bin %> snapshot create monday --from data" },
  ];

  static override args = {
    name: Args.string({ description: "Name for the snapshot.", required: true, ignoreStdin: true }),
  };

  static override flags = {
    from: Flags.string({
      summary: "Volume, or running sandbox.",
      helpValue: "NAME",
      required: true,
      parse: async (text) => parseSandboxRef(text),
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SnapshotCreate);
    const name = parseDiskName(args.name);
    await using runtime = await this.openRuntime();
    const snapshot = await runtime.snapshots.create(name, flags.from, { signal: this.interrupt.signal });
    if (flags.json) {
      this.printJson(snapshotJson(snapshot));
      return;
    }
    this.print(snapshot.id);
    if (!snapshot.isClean && !flags.quiet) {
      this.notice("the guest did not answer, so it holds what a machine leaves that loses its power");
    }
  }
}
