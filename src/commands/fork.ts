/** `sbx fork`: copies of a running sandbox, processes and memory included. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { durationFlag, labelFlag } from "../cli/flags/common.ts";
import { prose } from "../cli/output/prose.ts";
import { parseCount } from "../cli/parsers/count.ts";
import { parseLabels } from "../cli/parsers/label.ts";
import { parseSandboxName, parseSandboxRef } from "../cli/parsers/names.ts";
import { LIFETIME_LIMITS } from "../cli/settings/keys.ts";
import { sandboxJson } from "../cli/view/sandbox-view.ts";

const COUNT_LIMITS = { min: 1, max: 100 };

export default class Fork extends SbxCommand {
  static override summary = "Copy a running sandbox, processes and memory included.";

  static override description = prose(`
Processes go on in the copy from where they are in the source, which stands still for a moment only. Their connections
end in the copy, and their standard input; what they write to a command that was started in the source goes nowhere.

Each copy has randomness, a clock, names, an authority and placeholders of its own. A program that went on keeps those
that it had read: the source's placeholders are refused in the copy. The values of secrets are looked for anew, in
sbx secret set and then in the variables of this command.

A volume has one writer: with --volumes copy each copy gets a volume of its own, with the content of that moment, which
stays when the copy is gone. A sandbox with mounted directories, or with volumes that it only reads, is not copied.`);

  static override examples = [
    { description: "One copy", command: "<%= config.bin %> fork web" },
    {
      description: "Ten, to try ten things from one state",
      command: "<%= config.bin %> fork web --count 10 --name try",
    },
  ];

  static override args = {
    sandbox: Args.string({ description: "Id or name, or the beginning of either.", required: true, ignoreStdin: true }),
  };

  static override flags = {
    count: Flags.custom<number>({
      char: "c",
      summary: "How many copies.",
      helpValue: "N",
      parse: async (text) => parseCount(text, COUNT_LIMITS),
    })(),
    name: Flags.string({
      char: "n",
      summary: "Name for the copy; of several, each gets a number behind it.",
      helpValue: "NAME",
      parse: async (text) => parseSandboxName(text),
    }),
    label: labelFlag("Label for the copies, beside those of the source."),
    volumes: Flags.option({
      summary: "What becomes of attached volumes: the copy is refused, or gets volumes of its own with their content.",
      options: ["refuse", "copy"] as const,
      default: "refuse",
    })(),
    timeout: durationFlag({ summary: "Let the copies live this long.", ...LIFETIME_LIMITS }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Fork);
    const ref = parseSandboxRef(args.sandbox);
    const labels = parseLabels(flags.label ?? []);
    const spec = {
      count: flags.count ?? 1,
      lifetimeMs: flags.timeout ?? this.loadedSettings.settings.timeoutMs,
      ...(flags.volumes === "refuse" ? {} : { volumes: flags.volumes }),
      ...(flags.name === undefined ? {} : { name: flags.name }),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    };
    await using runtime = await this.openRuntime();
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const { signal } = this.interrupt;
    const environment = this.context.env;
    const report = await runtime.fork(ref, spec, { signal, environment, onProgress: progress.onProgress });
    progress.stop();
    const pausedMs = Math.round(report.pausedMs);
    if (flags.json) {
      this.printJson({ pausedMs, sandboxes: report.sandboxes.map(sandboxJson) });
      return;
    }
    for (const { id } of report.sandboxes) this.print(id);
    if (!flags.quiet) this.notice(`${ref} stood still for ${pausedMs} ms`);
  }
}
