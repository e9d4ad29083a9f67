/** `sbx sync`: brings back what a sandbox changed in its copy of a directory, after showing it. */
import * as Args from "@oclif/core/args";
import path from "node:path";
import { SbxCommand } from "../cli/base-command.ts";
import { switchFlag, yesFlag } from "../cli/flags/common.ts";
import { sandboxArg } from "../cli/flags/sandbox-arg.ts";
import { prose } from "../cli/output/prose.ts";
import { usageError } from "../cli/parsers/usage-error.ts";
import { confirm } from "../cli/prompts/confirm.ts";
import { changeJson, describeChanges, diffLines } from "../cli/view/sync-view.ts";
import { SbxError } from "../runtime/errors.ts";
import type { ApplyReport, Comparison } from "../runtime/folders.ts";

export default class Sync extends SbxCommand {
  static override summary = "Bring back what a sandbox changed in its copy of a directory.";

  static override description = prose(`
For directories that the sandbox was made with (--copy, or --mount without :ro and :rw). Shows what was added, changed
and removed since, with the differences of texts, and asks before anything here is touched. Files that were changed on
both sides are not brought back without --force.

Look at what is pointed out: hooks of git, settings of editors and shells, and whatever becomes executable run code on
this machine.`);

  static override examples = [
    { description: "What has changed", command: "<%= config.bin %> sync web --dry-run" },
    { description: "Bring it back after a look", command: "<%= config.bin %> sync web" },
    {
      description: "One of several copies, with what was removed",
      command: "<%= config.bin %> sync web ./shop --delete",
    },
  ];

  static override args = {
    sandbox: sandboxArg,
    directory: Args.string({ description: "The directory here that it was copied from.", ignoreStdin: true }),
  };

  static override flags = {
    yes: yesFlag,
    "dry-run": switchFlag({ summary: "Only show what would be brought back." }),
    delete: switchFlag({ summary: "Remove here what was removed in the sandbox." }),
    force: switchFlag({ summary: "Take the sandbox's version of what was changed on both sides." }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Sync);
    const { signal } = this.interrupt;
    const asks = this.context.stdin.isTTY === true && this.context.stderr.isTTY === true && !flags.json;
    if (!flags.yes && !flags["dry-run"] && !asks) {
      throw usageError("nobody is there to look at the changes", "sbx sync --dry-run to see them, --yes to take them");
    }
    await using runtime = await this.openRuntime();
    await using comparison = await this.#compare(runtime.folders, args, flags);
    const wanted = comparison.changes.filter(({ kind }) => flags.delete || kind !== "removed");
    if (!flags.quiet && !flags.json) await this.#show(comparison, flags.delete);
    const conflicts = wanted.filter(({ conflict }) => conflict);
    if (flags["dry-run"] || wanted.length === 0) {
      this.#report(comparison, null, flags);
      return;
    }
    // The runtime refuses as well, but then the question would have been for nothing.
    const question = `Bring ${describeChanges(wanted)} to ${comparison.hostPath}?`;
    const mayGoOn = flags.force || conflicts.length === 0;
    if (mayGoOn && !(await confirm(question, { context: this.context, yes: flags.yes, signal }))) {
      throw new SbxError("aborted", "nothing was brought back");
    }
    const report = await comparison.apply({ signal, remove: flags.delete, force: flags.force });
    this.#report(comparison, report, flags);
  }

  async #compare(
    folders: { compare: (ref: string, options: object) => Promise<Comparison> },
    { sandbox, directory }: { sandbox: string; directory?: string | undefined },
    flags: { quiet: boolean; json: boolean },
  ): Promise<Comparison> {
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    return await folders.compare(sandbox, {
      ...{ signal: this.interrupt.signal, onProgress: progress.onProgress },
      ...(directory === undefined ? {} : { hostPath: path.resolve(this.context.cwd, directory) }),
    });
  }

  async #show(comparison: Comparison, remove: boolean): Promise<void> {
    const palette = await this.stdoutPalette();
    for (const change of comparison.changes) {
      const texts = await comparison.texts(change);
      for (const line of await diffLines(change, texts, { remove, palette })) this.print(line);
    }
  }

  #report(comparison: Comparison, report: ApplyReport | null, flags: { json: boolean; quiet: boolean }): void {
    if (flags.json) {
      const { hostPath, guestPath, skipped } = comparison;
      this.printJson({ hostPath, guestPath, changes: comparison.changes.map(changeJson), skipped, applied: report });
      return;
    }
    const left = [...comparison.skipped, ...(report?.skipped ?? [])];
    for (const { path: name, reason } of left) this.notice(`not brought back: ${name}: ${reason}`);
    if (flags.quiet) return;
    if (comparison.changes.length === 0) this.notice("nothing has changed");
    else if (report !== null) this.notice(`brought back ${report.written}, removed ${report.removed}`);
    else this.notice(`${describeChanges(comparison.changes)}; nothing was touched here`);
  }
}
