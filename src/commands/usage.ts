/** `sbx usage`: what was used, and what it would cost. */
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { switchFlag } from "../cli/flags/common.ts";
import { serverDataFlag } from "../cli/flags/server.ts";
import { momentFlag } from "../cli/flags/watching.ts";
import { prose } from "../cli/output/prose.ts";
import { parsePrice } from "../cli/parsers/price.ts";
import { groupUsage, parseGrouping, totalUsage, type Grouping } from "../cli/usage/group-usage.ts";
import { organisationUsage, type OrganisationUsage } from "../cli/usage/organisation-usage.ts";
import { usageError } from "../cli/parsers/usage-error.ts";
import { meteringCsv, meteringJson, meteringTable } from "../cli/view/metering-view.ts";
import type { Price } from "../metering/rates.ts";
import type { MeteringQuery } from "../runtime/metering.ts";

const MONTH_MS = 30 * 24 * 3_600_000;

export default class Usage extends SbxCommand {
  static override summary = "Show what was used: processor time, memory, storage, network.";

  static override description = prose(`
CPU is the time that machines had of this host's processors, MEMORY what they were given for as long as they were there,
STORAGE what volumes and snapshots take of the disk, OUT and IN what went through the network. It is counted up to two
seconds ago, and once, whatever was killed. Sandboxes count by the hour: --since goes back to the beginning of one.

--price puts dollars to it: at "reference", the published prices of the reference service; "reference-plan" takes what
its plan has in it off the sum (for a whole month); or prices of your own, a CPU-hour, a GB-hour of memory, a GiB-month of
storage, a GB out or in.`);

  static override examples = [
    { description: "The last 30 days, each sandbox", command: "<%= config.bin %> usage" },
    { description: "Today, by a label", command: "<%= config.bin %> usage --since 24h --by label:team" },
    { description: "What it would cost", command: "<%= config.bin %> usage --by day --price reference" },
    {
      description: "At prices of your own, for a spreadsheet",
      command: "<%= config.bin %> usage --price cpu=0.03,memory=0.01 --csv > usage.csv",
    },
  ];

  static override flags = {
    since: momentFlag("Only what was used since then; 30 days if absent."),
    until: momentFlag("Only what was used until then."),
    by: Flags.custom<{ text: string; grouping: Grouping }>({
      summary: "Sum by sandbox, app, label:KEY, resource, day, hour, organisation (of sbx serve here) or total.",
      helpValue: "WHAT",
      parse: async (text) => ({ text, grouping: parseGrouping(text) }),
    })(),
    price: Flags.custom<Price>({
      summary: "Prices: reference, reference-plan, or cpu=…,memory=…,storage=…,out=…,in=…",
      helpValue: "PRICES",
      parse: async (text) => parsePrice(text),
    })(),
    data: serverDataFlag,
    csv: switchFlag({ summary: "Print CSV.", exclusive: ["json"] }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Usage);
    const now = this.context.now();
    const { text: by, grouping } = flags.by ?? { text: "sandbox", grouping: { kind: "sandbox" } as const };
    const [since, until] = [flags.since ?? now - MONTH_MS, flags.until ?? now];
    const { kind } = grouping;
    const query = { since, until, ...(kind === "hour" || kind === "day" ? { by: kind } : {}) };
    const price = flags.price ?? null;
    const { rows, groups } = await this.#read(grouping, { query, price, data: flags.data });
    const report = { since, until, by, groups, total: totalUsage(rows, price) };
    if (flags.json) this.printJson(meteringJson(report));
    else if (flags.csv) this.print(meteringCsv(report));
    else if (rows.length === 0) this.notice("nothing was used in that time");
    else this.print(meteringTable(report, { palette: await this.stdoutPalette(), width: this.stdoutWidth }));
  }

  async #read(
    grouping: Grouping,
    { query, price, data }: { query: MeteringQuery; price: Price | null; data: string | undefined },
  ): Promise<OrganisationUsage> {
    const { signal } = this.interrupt;
    if (grouping.kind === "organisation") {
      if ((await this.chosenContext).endpoints !== null) {
        throw usageError("organisations are the operator's to compare", "run it on the server's machine");
      }
      return organisationUsage(this.loadedSettings.settings, data, { query, price, signal });
    }
    await using runtime = await this.openRuntime();
    const rows = await runtime.metering.read(query, { signal });
    return { rows, groups: groupUsage(rows, grouping, price) };
  }
}
