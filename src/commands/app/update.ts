/** `sbx app update`: another name, other settings. */
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import {
  appArg,
  appLabelFlag,
  configFlags,
  instanceFlags,
  layerFlag,
  readConfig,
  readInstances,
} from "../../cli/flags/app.ts";
import { prose } from "../../cli/output/prose.ts";
import { parseLabels } from "../../cli/parsers/label.ts";
import { usageError } from "../../cli/parsers/usage-error.ts";
import { appJson } from "../../cli/view/app-view.ts";

export default class AppUpdate extends SbxCommand {
  static override summary = "Change an app.";

  static override description = prose(`
Labels, layers and what is said of its program take the place of what was said before, each as a whole. Revisions that are
there stay as they are. How its instances are kept goes for all of them, from then on. Its variables: sbx app env.`);

  static override examples = [
    { description: "Another name", command: "<%= config.bin %> app update shop --name store" },
    { description: "Another program", command: "<%= config.bin %> app update shop --entrypoint main.py" },
    { description: "More at one time", command: "<%= config.bin %> app update shop --instances 5 --idle 30m" },
  ];

  static override args = { app: appArg };

  static override flags = {
    name: Flags.string({ summary: "New name.", helpValue: "NAME" }),
    ...configFlags,
    ...instanceFlags,
    label: appLabelFlag,
    layer: layerFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppUpdate);
    const config = readConfig(flags);
    const instances = readInstances(flags);
    const change = {
      ...(flags.name !== undefined && { slug: flags.name }),
      ...(config !== undefined && { config }),
      ...(instances !== undefined && { instances }),
      ...(flags.label !== undefined && { labels: parseLabels(flags.label) }),
      ...(flags.layer !== undefined && { layers: flags.layer }),
    };
    if (Object.keys(change).length === 0) throw usageError("nothing is to be changed", "sbx app update --help");
    await using runtime = await this.openRuntime();
    const app = await runtime.apps.update(args.app, change, { signal: this.interrupt.signal });
    if (flags.json) this.printJson(appJson(app));
    else this.print(app.slug);
  }
}
