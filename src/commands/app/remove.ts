/** `sbx app remove`: removes apps with all that was deployed to them. */
import * as Args from "@oclif/core/args";
import { EachCommand } from "../../cli/each-command.ts";
import { appJson } from "../../cli/view/app-view.ts";

export default class AppRemove extends EachCommand {
  static override aliases = ["app:rm", "app:delete"];
  static override summary = "Remove apps with their revisions.";

  static override description = "What runs of them ends. Layers stay.";

  static override examples = [{ description: "One", command: "<%= config.bin %> app remove shop" }];

  static override args = {
    apps: Args.string({ description: "Names or ids.", multiple: true, required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppRemove);
    await using runtime = await this.openRuntime();
    await this.each(args.apps, flags, {
      what: "apps",
      act: async (ref) => runtime.apps.remove(ref, { signal: this.interrupt.signal }),
      toJson: appJson,
    });
  }
}
