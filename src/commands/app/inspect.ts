/** `sbx app inspect`: all about one app. */
import { SbxCommand } from "../../cli/base-command.ts";
import { appArg } from "../../cli/flags/app.ts";
import { renderFields } from "../../cli/output/table.ts";
import { appFields, appJson } from "../../cli/view/app-view.ts";

export default class AppInspect extends SbxCommand {
  static override summary = "Show everything about an app, and which revisions are active.";

  static override examples = [{ description: "One", command: "<%= config.bin %> app inspect shop" }];

  static override args = { app: appArg };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppInspect);
    const { signal } = this.interrupt;
    await using runtime = await this.openRuntime();
    const app = await runtime.apps.get(args.app, { signal });
    const timelines = await runtime.apps.timelines(app.id, { signal });
    if (flags.json) this.printJson({ ...appJson(app), timelines });
    else if (flags.quiet) this.print(app.slug);
    else this.print(renderFields(appFields(app, timelines, this.context.now()), await this.stdoutPalette()));
  }
}
