/** `sbx prune`: forgets what stopped, and removes what nothing refers to. */
import { SbxCommand } from "../cli/base-command.ts";
import { switchFlag, yesFlag } from "../cli/flags/common.ts";
import { confirm } from "../cli/prompts/confirm.ts";
import { describePrune, pruneLines } from "../cli/view/prune-view.ts";
import type { PruneReport } from "../runtime/types.ts";

export default class Prune extends SbxCommand {
  static override summary = "Remove what is left of stopped sandboxes.";

  static override description =
    "Records of sandboxes that stopped, and files that nothing refers to. Running sandboxes are never touched.";

  static override examples = [
    { description: "See what would go", command: "<%= config.bin %> prune --dry-run" },
    { description: "With images that nothing uses", command: "<%= config.bin %> prune --images --yes" },
  ];

  static override flags = {
    // oclif trims the first line of a list, so an option with a short form has to be there.
    yes: yesFlag,
    "dry-run": switchFlag({ summary: "Only show what would be removed." }),
    images: switchFlag({ summary: "Also images that nothing uses." }),
    volumes: switchFlag({ summary: "Also removed volumes, which could still be restored." }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Prune);
    await using runtime = await this.openRuntime();
    const options = { images: flags.images, volumes: flags.volumes, signal: this.interrupt.signal };
    if (flags["dry-run"]) {
      this.#show(await runtime.prune({ ...options, dryRun: true }), true, flags);
      return;
    }
    // Without anybody to ask, looking first would only take time.
    if (!flags.yes && this.context.stdin.isTTY === true && this.context.stderr.isTTY === true) {
      const plan = await runtime.prune({ ...options, dryRun: true });
      if (plan.removed.length === 0) {
        this.#show(plan, true, flags);
        return;
      }
      const question = `Remove ${describePrune(plan)}?`;
      if (!(await confirm(question, { context: this.context, yes: false, signal: this.interrupt.signal }))) return;
    }
    const report = await runtime.prune(options);
    this.#show(report, false, flags);
    if (report.failed.length > 0) this.context.setExitStatus(1);
  }

  #show(report: PruneReport, dryRun: boolean, flags: { json: boolean; quiet: boolean }): void {
    if (flags.json) {
      this.printJson({ ...report, dryRun });
      return;
    }
    if (!flags.quiet) {
      for (const line of pruneLines(report)) this.print(line);
      this.notice(dryRun ? `would remove ${describePrune(report)}` : `removed ${describePrune(report)}`);
    }
    for (const { kind, id, error } of report.failed) this.notice(`not removed: ${kind} ${id}: ${error}`);
  }
}
