/** `sbx volume detach`: takes a volume from a running sandbox. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { parseSandboxRef } from "../../cli/parsers/names.ts";
import { parseDiskRef } from "../../cli/parsers/volume-mount.ts";
import { volumeJson } from "../../cli/view/volume-view.ts";

export default class VolumeDetach extends SbxCommand {
  static override summary = "Take a volume from a running sandbox.";

  static override description =
    "All that was written to it is on this machine's disk when the command returns. Refused while a process in the sandbox uses it; the message names it.";

  static override examples = [{ description: "From box", command: "<%= config.bin %> volume detach data box" }];

  static override args = {
    volume: Args.string({ description: "Name or id, or the beginning of either.", required: true, ignoreStdin: true }),
    sandbox: Args.string({ description: "Id or name of the sandbox.", required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(VolumeDetach);
    const [ref, sandbox] = [parseDiskRef(args.volume), parseSandboxRef(args.sandbox)];
    await using runtime = await this.openRuntime();
    const volume = await runtime.volumes.detach(ref, sandbox, { signal: this.interrupt.signal });
    if (flags.json) this.printJson(volumeJson(volume));
    else if (!flags.quiet) this.notice(`${volume.slug} is free`);
  }
}
