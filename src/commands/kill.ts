/** `sbx kill`: stops sandboxes. */
import * as Args from "@oclif/core/args";
import { EachCommand } from "../cli/each-command.ts";
import { labelFilterFlag, switchFlag, yesFlag } from "../cli/flags/common.ts";
import { parseLabels } from "../cli/parsers/label.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { usageError } from "../cli/parsers/usage-error.ts";
import { confirm } from "../cli/prompts/confirm.ts";
import { sandboxJson } from "../cli/view/sandbox-view.ts";
import type { Runtime } from "../runtime/runtime.ts";

export default class Kill extends EachCommand {
  static override aliases = ["remove", "rm"];
  static override summary = "Stop sandboxes and throw away what is in them.";

  static override description =
    "Several names stop several sandboxes. --all and --label ask first, on a terminal and without --yes.";

  static override examples = [
    { description: "One", command: "<%= config.bin %> kill web" },
    { description: "All of a project", command: "<%= config.bin %> kill --label project=shop --yes" },
  ];

  static override args = {
    sandboxes: Args.string({
      description: "Ids or names, or the beginning of either.",
      multiple: true,
      ignoreStdin: true,
    }),
  };

  static override flags = {
    all: switchFlag({ char: "a", summary: "Every sandbox that runs." }),
    label: labelFilterFlag,
    yes: yesFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Kill);
    const named = args.sandboxes ?? [];
    if (named.length === 0 && !flags.all && flags.label === undefined) {
      throw usageError("no sandbox was named", "sbx kill SANDBOX, or sbx kill --all");
    }
    if (named.length > 0 && (flags.all || flags.label !== undefined)) {
      throw usageError("give the names of sandboxes, or --all or --label, not both", "sbx kill --help");
    }
    const refs = named.map(parseSandboxRef);
    await using runtime = await this.openRuntime();
    const targets = named.length > 0 ? refs : await this.#matching(runtime, flags.label ?? [], flags.yes);
    const call = { signal: this.interrupt.signal };
    await this.each(targets, flags, {
      what: "sandboxes",
      act: async (ref) => runtime.remove(ref, call),
      toJson: sandboxJson,
    });
  }

  async #matching(runtime: Runtime, labels: string[], yes: boolean): Promise<string[]> {
    const all = await runtime.list({ labels: parseLabels(labels), signal: this.interrupt.signal });
    const alive = all.filter(({ status }) => status !== "stopped" && status !== "failed");
    if (alive.length === 0) return [];
    const names = alive.map(({ name, id }) => name ?? id).join(", ");
    const question = `Stop ${alive.length} ${alive.length === 1 ? "sandbox" : "sandboxes"} (${names})?`;
    return (await confirm(question, { context: this.context, yes, signal: this.interrupt.signal }))
      ? alive.map(({ id }) => id)
      : [];
  }
}
