/** `sbx app create`: a place to deploy to. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { appLabelFlag, configFlags, instanceFlags, layerFlag, readConfig, readInstances } from "../../cli/flags/app.ts";
import { prose } from "../../cli/output/prose.ts";
import { parseLabels } from "../../cli/parsers/label.ts";
import { appJson } from "../../cli/view/app-view.ts";

export default class AppCreate extends SbxCommand {
  static override aliases = ["app:new"];
  static override summary = "Make an app: a name under which something is deployed.";

  static override description = prose(`
sbx deploy puts files into it. What the options say of its program goes for every deployment that says nothing else.
Without a name it gets one of its own.`);

  static override examples = [
    { description: "A program of Deno", command: "<%= config.bin %> app create shop --entrypoint server.ts" },
    { description: "A site", command: "<%= config.bin %> app create docs --static public --spa" },
    {
      description: "One that is built first",
      command:
        '<%= config.bin %> app create web --install-command "npm ci" --build-command "npm run build" --static dist',
    },
  ];

  static override args = { name: Args.string({ description: "Name for the app.", ignoreStdin: true }) };

  static override flags = { ...configFlags, ...instanceFlags, label: appLabelFlag, layer: layerFlag };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppCreate);
    const config = readConfig(flags);
    const instances = readInstances(flags);
    const spec = {
      ...(args.name !== undefined && { slug: args.name }),
      ...(config !== undefined && { config }),
      ...(instances !== undefined && { instances }),
      ...(flags.label !== undefined && { labels: parseLabels(flags.label) }),
      ...(flags.layer !== undefined && { layers: flags.layer }),
    };
    await using runtime = await this.openRuntime();
    const app = await runtime.apps.create(spec, { signal: this.interrupt.signal });
    if (flags.json) this.printJson(appJson(app));
    else this.print(app.slug);
  }
}
