/** `sbx volume attach`: gives a running sandbox a volume. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { switchFlag } from "../../cli/flags/common.ts";
import { parseSandboxRef } from "../../cli/parsers/names.ts";
import { parseDiskRef, parseGuestDirectory } from "../../cli/parsers/volume-mount.ts";
import { volumeJson } from "../../cli/view/volume-view.ts";

export default class VolumeAttach extends SbxCommand {
  static override summary = "Give a running sandbox a volume.";

  static override description =
    "It is mounted when the command returns. One sandbox at a time can write to a volume, or any number can read it.";

  static override examples = [
    { description: "To write to", command: "<%= config.bin %> volume attach data box /data" },
    { description: "To read", command: "<%= config.bin %> volume attach data box /data --read-only" },
  ];

  static override args = {
    volume: Args.string({ description: "Name or id, or the beginning of either.", required: true, ignoreStdin: true }),
    sandbox: Args.string({ description: "Id or name of the sandbox.", required: true, ignoreStdin: true }),
    path: Args.string({ description: "Directory in the sandbox.", required: true, ignoreStdin: true }),
  };

  static override flags = {
    "read-only": switchFlag({ char: "r", summary: "Only to read; others can read it as well." }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeAttach);
    const [ref, sandbox] = [parseDiskRef(args.volume), parseSandboxRef(args.sandbox)];
    const access = flags["read-only"] ? ("read-only" as const) : ("read-write" as const);
    const mount = { path: parseGuestDirectory(args.path), access };
    await using runtime = await this.openRuntime();
    const volume = await runtime.volumes.attach(ref, sandbox, mount, { signal: this.interrupt.signal });
    if (flags.json) this.printJson(volumeJson(volume));
    else if (!flags.quiet) this.notice(`${volume.slug} is at ${mount.path} in ${sandbox}`);
  }
}
