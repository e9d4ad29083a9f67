/** `sbx list`: the sandboxes. */
import { SbxCommand } from "../cli/base-command.ts";
import { labelFilterFlag, switchFlag } from "../cli/flags/common.ts";
import { renderTable } from "../cli/output/table.ts";
import { parseLabels } from "../cli/parsers/label.ts";
import { SANDBOX_COLUMNS, sandboxJson, sandboxRow } from "../cli/view/sandbox-view.ts";

export default class List extends SbxCommand {
  static override aliases = ["ls"];
  static override summary = "List the sandboxes.";

  static override description = "A sandbox that stopped stays listed for a day, with the reason.";

  static override examples = [
    { description: "All of them", command: "<%= config.bin %> list" },
    { description: "The ids of those that run", command: "<%= config.bin %> list --running --quiet" },
    {
      description: "Those of one project, for a program",
      command: "<%= config.bin %> list --label project=shop --json",
    },
  ];

  static override flags = {
    running: switchFlag({ char: "r", summary: "Only sandboxes that run." }),
    label: labelFilterFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(List);
    await using runtime = await this.openRuntime();
    const labels = parseLabels(flags.label ?? []);
    const all = await runtime.list({ labels, signal: this.interrupt.signal });
    const shown = flags.running ? all.filter(({ status }) => status === "running") : all;
    if (flags.json) {
      this.printJson(shown.map(sandboxJson));
    } else if (flags.quiet) {
      for (const { id } of shown) this.print(id);
    } else if (shown.length === 0 && this.context.stdout.isTTY === true) {
      this.notice(
        flags.running || flags.label !== undefined ? "no such sandbox" : "no sandbox yet; sbx create makes one",
      );
    } else {
      const rows = shown.map((info) => sandboxRow(info, this.context.now()));
      this.print(renderTable(SANDBOX_COLUMNS, rows, { width: this.stdoutWidth, palette: await this.stdoutPalette() }));
    }
  }
}
