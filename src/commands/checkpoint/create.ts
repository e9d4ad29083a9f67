/** `sbx checkpoint create`: keeps a running sandbox as it is, memory included. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { prose } from "../../cli/output/prose.ts";
import { parseSandboxRef } from "../../cli/parsers/names.ts";
import { checkpointJson } from "../../cli/view/checkpoint-view.ts";

export default class CheckpointCreate extends SbxCommand {
  static override summary = "Keep a running sandbox as it is, memory included.";

  static override description = prose(`
The sandbox stands still for a moment and goes on. Any number of sandboxes can be made of the checkpoint later, with
sbx create --checkpoint: their processes go on from where these were. What the memory holds is in the checkpoint's
files, which only this account can read.`);

  static override examples = [
    { description: "Keep it", command: "<%= config.bin %> checkpoint create web warm" },
    { description: "Go on from there", command: "<%= config.bin %> create --checkpoint warm" },
  ];

  static override args = {
    sandbox: Args.string({ description: "Id or name, or the beginning of either.", required: true, ignoreStdin: true }),
    name: Args.string({ description: "Name for the checkpoint.", required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CheckpointCreate);
    const ref = parseSandboxRef(args.sandbox);
    await using runtime = await this.openRuntime();
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const { signal } = this.interrupt;
    const { pausedMs, ...checkpoint } = await runtime.checkpoints.create(ref, args.name, {
      ...{ signal, onProgress: progress.onProgress },
    });
    progress.stop();
    if (flags.json) this.printJson({ ...checkpointJson(checkpoint), pausedMs: Math.round(pausedMs) });
    else this.print(checkpoint.id);
    if (!flags.json && !flags.quiet) this.notice(`${ref} stood still for ${Math.round(pausedMs)} ms`);
  }
}
