/** `sbx app promote`: makes a revision production. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { appArg } from "../../cli/flags/app.ts";

export default class AppPromote extends SbxCommand {
  static override summary = "Make a revision of an app production.";

  static override description =
    "It is started first and has to answer a request; one that does not come up says why, and production stays as it is. Requests that are under way come to their end where they are, all others go to the new one.";

  static override examples = [
    { description: "A preview that was looked at", command: "<%= config.bin %> app promote shop 0v1mqe3sdyrh" },
  ];

  static override args = {
    app: appArg,
    revision: Args.string({ description: "Id of the revision.", required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppPromote);
    await using runtime = await this.openRuntime();
    const timeline = await runtime.apps.activate(args.app, args.revision, { signal: this.interrupt.signal });
    if (flags.json) this.printJson({ app: timeline.app.slug, revision: timeline.revision });
    else this.print(timeline.revision ?? "");
  }
}
