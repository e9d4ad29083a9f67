/** `sbx list`: the sandboxes. */
import { SbxCommand } from "../cli/base-command.ts";
import { labelFilterFlag, switchFlag } from "../cli/flags/common.ts";
import { prose } from "../cli/output/prose.ts";
import { renderTable } from "../cli/output/table.ts";
import { parseLabels } from "../cli/parsers/label.ts";
import { SANDBOX_COLUMNS, sandboxJson, sandboxRow } from "../cli/view/sandbox-view.ts";

/** A terminal with so many columns has room for whole sentences. */
const WIDE_COLUMNS = 100;

export default class List extends SbxCommand {
  static override aliases = ["ls"];
  static override summary = "List the sandboxes.";

  static override description = prose(`
A sandbox that stopped stays listed for a day, with the reason. Those that ended in order with the command that made
them (\`run\`, a shell) are left out unless --all is given.`);

  static override examples = [
    { description: "What runs, and what stopped and why", command: "<%= config.bin %> list" },
    { description: "Those of finished commands too", command: "<%= config.bin %> list --all" },
    { description: "The ids of those that run", command: "<%= config.bin %> list --running --quiet" },
    {
      description: "Those of one project, for a program",
      command: "<%= config.bin %> list --label project=shop --json",
    },
  ];

  static override flags = {
    all: switchFlag({ char: "a", summary: "Also sandboxes that ended with their command or shell." }),
    running: switchFlag({ char: "r", summary: "Only sandboxes that run." }),
    label: labelFilterFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(List);
    await using runtime = await this.openRuntime();
    const labels = parseLabels(flags.label ?? []);
    const all = await runtime.list({ labels, signal: this.interrupt.signal });
    const shown = all.filter(
      ({ status, reason }) =>
        (!flags.running || status === "running") && (flags.all || status !== "stopped" || reason !== "session_ended"),
    );
    if (flags.json) {
      this.printJson(shown.map(sandboxJson));
    } else if (flags.quiet) {
      for (const { id } of shown) this.print(id);
    } else if (shown.length === 0 && this.context.stdout.isTTY === true) {
      this.notice(
        flags.running || flags.label !== undefined ? "no such sandbox" : "no sandbox yet; sbx create makes one",
      );
    } else {
      const brief = this.stdoutWidth !== undefined && this.stdoutWidth < WIDE_COLUMNS;
      const rows = shown.map((info) => sandboxRow(info, this.context.now(), brief));
      this.print(renderTable(SANDBOX_COLUMNS, rows, { width: this.stdoutWidth, palette: await this.stdoutPalette() }));
    }
  }
}
