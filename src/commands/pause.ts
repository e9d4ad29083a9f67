/** `sbx pause`: sandboxes stand still. */
import * as Args from "@oclif/core/args";
import { EachCommand } from "../cli/each-command.ts";
import { prose } from "../cli/output/prose.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { sandboxJson } from "../cli/view/sandbox-view.ts";

export default class Pause extends EachCommand {
  static override summary = "Have sandboxes stand still.";

  static override description = prose(`
Nothing in a paused sandbox runs, and it takes no time of a processor; its memory stays as it is. Its lifetime goes on.
Commands that need it to run say that it is paused.`);

  static override examples = [
    { description: "Until it is resumed", command: "<%= config.bin %> pause web" },
    { description: "Go on", command: "<%= config.bin %> resume web" },
  ];

  static override args = {
    sandboxes: Args.string({
      description: "Ids or names, or the beginning of either.",
      required: true,
      multiple: true,
      ignoreStdin: true,
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Pause);
    const refs = args.sandboxes.map(parseSandboxRef);
    await using runtime = await this.openRuntime();
    await this.each(refs, flags, {
      what: "sandboxes",
      act: async (ref) => runtime.pause(ref, { signal: this.interrupt.signal }),
      toJson: sandboxJson,
    });
  }
}
