/** `sbx resume`: paused sandboxes go on. */
import * as Args from "@oclif/core/args";
import { EachCommand } from "../cli/each-command.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { sandboxJson } from "../cli/view/sandbox-view.ts";

export default class Resume extends EachCommand {
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
    await this.each(refs, flags, {
      what: "sandboxes",
      act: async (ref) => runtime.resume(ref, { signal: this.interrupt.signal }),
      toJson: sandboxJson,
    });
  }
}
