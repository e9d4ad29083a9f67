/** `sbx app revisions`: what was deployed to an app. */
import { SbxCommand } from "../../cli/base-command.ts";
import { appArg } from "../../cli/flags/app.ts";
import { renderTable } from "../../cli/output/table.ts";
import { REVISION_COLUMNS, revisionJson, revisionRow } from "../../cli/view/app-view.ts";

export default class AppRevisions extends SbxCommand {
  static override summary = "List what was deployed to an app, the newest first.";

  static override description =
    "A revision that did not come up says why, and never takes traffic. Of more than a hundred the oldest go that are active nowhere.";

  static override examples = [
    { description: "All of them", command: "<%= config.bin %> app revisions shop" },
    { description: "For a program", command: "<%= config.bin %> app revisions shop --json | jq -r '.[0].id'" },
  ];

  static override args = { app: appArg };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppRevisions);
    const { signal } = this.interrupt;
    await using runtime = await this.openRuntime();
    const revisions = await runtime.apps.revisions.list(args.app, { signal });
    if (flags.json) {
      this.printJson(revisions.map(revisionJson));
    } else if (flags.quiet) {
      for (const { id } of revisions) this.print(id);
    } else {
      const timelines = await runtime.apps.timelines(args.app, { signal });
      const rows = revisions.map((revision) => revisionRow(revision, timelines, this.context.now()));
      const display = { width: this.stdoutWidth, palette: await this.stdoutPalette() };
      this.print(renderTable(REVISION_COLUMNS, rows, display));
    }
  }
}
