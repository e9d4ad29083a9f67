/** `sbx top`: what sandboxes use at this moment. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { durationFlag, switchFlag } from "../cli/flags/common.ts";
import { printFollowed } from "../cli/output/print-followed.ts";
import { prose } from "../cli/output/prose.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { showLive } from "../cli/top/show-live.ts";
import { compareUsage, SORT_KEYS } from "../cli/top/usage-rates.ts";
import { watchUsage, type Measurement } from "../cli/top/watch-usage.ts";
import { usageJson, usageTables } from "../cli/view/usage-view.ts";

const SECOND_MS = 1000;
/** In the table of one sandbox. */
const PROCESSES = 20;

export default class Top extends SbxCommand {
  static override summary = "Show what sandboxes use: processors, memory, disks, network.";

  static override description = prose(`
On a terminal, again and again; else one table. Of one sandbox also the busiest processes in it. CPU is in percent of one
processor: in the guest, and what the virtual machine and its supervisor take of this machine. MEMORY is what the guest
has in use, HOST MEM what it costs here (of pages that sandboxes share, a share); DISK is what its own layer takes here.

Keys: c, m and n sort by processor, memory and name; q and Ctrl-C end it. With --json, one document a line.`);

  static override examples = [
    { description: "All that run", command: "<%= config.bin %> top" },
    { description: "One of them, and what keeps it busy", command: "<%= config.bin %> top web" },
    {
      description: "Memory of each, once, for a program",
      command: "<%= config.bin %> top --once --json | jq '.sandboxes[] | {id, used: .usage.guest.memoryUsedBytes}'",
    },
  ];

  static override args = {
    sandbox: Args.string({ description: "Only this one: id or name, or the beginning of either.", ignoreStdin: true }),
  };

  static override flags = {
    interval: durationFlag({
      summary: "Measure this often.",
      default: SECOND_MS,
      ...{ minMs: 200, maxMs: 3600 * SECOND_MS },
    }),
    once: switchFlag({ summary: "One measurement, over one interval." }),
    sort: Flags.option({ summary: "In this order.", options: SORT_KEYS, default: "cpu" as const })(),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Top);
    const sandbox = args.sandbox === undefined ? {} : { sandbox: parseSandboxRef(args.sandbox), processes: PROCESSES };
    await using runtime = await this.openRuntime();
    const query = { ...sandbox, intervalMs: flags.interval, signal: this.interrupt.signal };
    const palette = await this.stdoutPalette();
    if (!flags.once && !flags.json && this.context.stdout.isTTY === true) {
      await showLive(runtime, query, { context: this.context, interrupt: this.interrupt, palette, sort: flags.sort });
      return;
    }
    const once = flags.once || !flags.json;
    const render = ({ before, now }: Measurement): string => {
      const measured = compareUsage(before, now, flags.sort);
      return flags.json
        ? usageJson(measured, this.context.now())
        : usageTables(measured, { palette, width: this.stdoutWidth });
    };
    const measurements = watchUsage(runtime, { ...query, showsFirst: false, ...(once && { count: 1 }) });
    const { stdout } = this.context;
    await printFollowed(measurements, { render, stdout, interrupt: this.interrupt, follow: !once });
  }
}
