/** `sbx resume`: paused sandboxes go on. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../cli/base-command.ts";
import { forEachOf } from "../cli/for-each.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { sandboxJson } from "../cli/view/sandbox-view.ts";

export default class Resume extends SbxCommand {
  static override summary = "Let paused sandboxes go on.";

  static override description =
    "Everything goes on where it was; the clock is set right. One that is not paused is left as it is.";

  static override examples = [{ description: "After sbx pause", command: "<%= config.bin %> resume web" }];

  static override args = {
    sandboxes: Args.string({
      description: "Ids or names, or the beginning of either.",
      required: true,
      multiple: true,
      ignoreStdin: true,
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Resume);
    const refs = args.sandboxes.map(parseSandboxRef);
    await using runtime = await this.openRuntime();
    const resumed = await forEachOf(refs, async (ref) => {
      const info = await runtime.resume(ref, { signal: this.interrupt.signal });
      if (!flags.json && !flags.quiet) this.print(info.id);
      return info;
    });
    if (flags.json) this.printJson(resumed.results.map(sandboxJson));
    resumed.throwFailures("sandboxes");
  }
}
