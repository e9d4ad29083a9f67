/** `sbx app list`: the apps. */
import { SbxCommand } from "../../cli/base-command.ts";
import { labelFlag } from "../../cli/flags/common.ts";
import { renderTable } from "../../cli/output/table.ts";
import { parseLabels } from "../../cli/parsers/label.ts";
import { APP_COLUMNS, appJson, appRow } from "../../cli/view/app-view.ts";

export default class AppList extends SbxCommand {
  static override aliases = ["app:ls"];
  static override summary = "List the apps, the latest change first.";

  static override examples = [
    { description: "All of them", command: "<%= config.bin %> app list" },
    { description: "Some of them", command: "<%= config.bin %> app list --label team=web" },
  ];

  static override flags = { label: labelFlag("Only apps with this label.") };

  async run(): Promise<void> {
    const { flags } = await this.parse(AppList);
    const labels = parseLabels(flags.label ?? []);
    await using runtime = await this.openRuntime();
    const apps = await runtime.apps.list({ labels, signal: this.interrupt.signal });
    if (flags.json) {
      this.printJson(apps.map(appJson));
    } else if (flags.quiet) {
      for (const { slug } of apps) this.print(slug);
    } else {
      const rows = apps.map((app) => appRow(app, this.context.now()));
      this.print(renderTable(APP_COLUMNS, rows, { width: this.stdoutWidth, palette: await this.stdoutPalette() }));
    }
  }
}
