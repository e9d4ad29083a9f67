/** `sbx events`: what happened to sandboxes, disks and secrets. */
import * as Flags from "@oclif/core/flags";
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../cli/base-command.ts";
import { switchFlag } from "../cli/flags/common.ts";
import { momentFlag, tailFlag } from "../cli/flags/watching.ts";
import { printFollowed } from "../cli/output/print-followed.ts";
import { prose } from "../cli/output/prose.ts";
import { parseCount } from "../cli/parsers/count.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { parseEventTypes } from "../cli/parsers/event-types.ts";
import { eventJson, eventLine } from "../cli/view/event-view.ts";
import type { EventRecord } from "../runtime/watching.ts";

export default class Events extends SbxCommand {
  static override summary = "Show what happened to sandboxes, disks and secrets.";

  static override description = prose(`
When sandboxes were made, ran, were paused, extended and copied, and why they ended; processes that were started in them,
by program and without arguments; volumes, snapshots, checkpoints; secrets by name. The latest ten thousand of these, of
processes the latest five thousand, none older than 30 days.

With --follow: what happens from now on, or also what came before, with --since, --after or --tail.

A TIME is a moment (2026-03-01T14:05:09Z) or how long ago it was (10m). docs/events.md has the form of --json.`);

  static override examples = [
    { description: "As it happens", command: "<%= config.bin %> events --follow" },
    { description: "How one sandbox fared", command: "<%= config.bin %> events web --since 1h" },
    {
      description: "Why sandboxes ended, for a program",
      command: "<%= config.bin %> events --type sandbox.stopped --json | jq -r .detail.reason",
    },
  ];

  static override args = {
    sandbox: Args.string({ description: "Only this one: id or name.", ignoreStdin: true }),
  };

  static override flags = {
    follow: switchFlag({ char: "f", summary: "Go on until interrupted." }),
    type: Flags.string({
      summary: "Only events of this type, or of this kind (sandbox, process, volume, ...).",
      helpValue: "TYPE",
      multiple: true,
      multipleNonGreedy: true,
    }),
    tail: tailFlag("events"),
    since: momentFlag("Only events since then."),
    until: momentFlag("Only events until then."),
    after: Flags.custom<number>({
      summary: "Only events behind the one of this number.",
      helpValue: "SEQ",
      parse: async (text) => parseCount(text, { min: 0, max: Number.MAX_SAFE_INTEGER }),
    })(),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Events);
    const { follow, tail, since, until, after, json } = flags;
    const types = parseEventTypes(flags.type ?? []);
    await using runtime = await this.openRuntime();
    const events = runtime.events({
      ...{ signal: this.interrupt.signal, follow },
      ...(args.sandbox !== undefined && { sandbox: parseSandboxRef(args.sandbox) }),
      ...(types !== undefined && { types }),
      ...(tail !== undefined && { tail }),
      ...(since !== undefined && { since }),
      ...(until !== undefined && { until }),
      ...(after !== undefined && { after }),
    });
    const palette = await this.stdoutPalette();
    const { stdout } = this.context;
    const render = (event: EventRecord): string =>
      json ? eventJson(event) : eventLine(event, { palette, width: this.stdoutWidth, now: this.context.now() });
    await printFollowed(events, { render, stdout, interrupt: this.interrupt, follow });
  }
}
