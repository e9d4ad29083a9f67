/** `sbx app rollback`: back to what production was. */
import { SbxCommand } from "../../cli/base-command.ts";
import { appArg } from "../../cli/flags/app.ts";

export default class AppRollback extends SbxCommand {
  static override summary = "Make production what it was before.";

  static override description =
    "The revision that was production before is started where it does not run, has to answer a request, and takes all new ones. A second rollback undoes the first.";

  static override examples = [{ description: "At once", command: "<%= config.bin %> app rollback shop" }];

  static override args = { app: appArg };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppRollback);
    await using runtime = await this.openRuntime();
    const timeline = await runtime.apps.activate(args.app, undefined, { signal: this.interrupt.signal });
    if (flags.json) this.printJson({ app: timeline.app.slug, revision: timeline.revision });
    else this.print(timeline.revision ?? "");
  }
}
