/** Usage as a table, as JSON and as CSV. Names and labels are anybody's words: the table escapes them. */
import { billedUnits } from "../../metering/rates.ts";
import type { Amounts } from "../../metering/amounts.ts";
import { humanSize } from "../output/human.ts";
import { renderTable, type Column } from "../output/table.ts";
import type { Palette } from "../output/palette.ts";
import type { UsageGroup } from "../usage/group-usage.ts";

export interface MeteringReport {
  /** Epoch `ms`. */
  since: number;
  until: number;
  /** What the groups are of, as it was asked for. */
  by: string;
  groups: readonly UsageGroup[];
  total: UsageGroup;
}

const NUMBERS: readonly Column[] = [
  { title: "CPU" },
  { title: "MEMORY" },
  { title: "STORAGE" },
  { title: "OUT" },
  { title: "IN" },
];

export function meteringTable(
  report: MeteringReport,
  display: { palette: Palette; width: number | undefined },
): string {
  const { groups, total, by } = report;
  const priced = total.cost !== null;
  const columns = [{ title: by.toUpperCase(), minWidth: 10 }, ...NUMBERS, ...(priced ? [{ title: "COST" }] : [])];
  const row = (name: string, { amounts, cost }: UsageGroup): string[] => [
    name,
    ...amountCells(amounts),
    ...(cost === null ? [] : [`$${cost.toFixed(4)}`]),
  ];
  const rows = groups.map((group) => row(nameOf(group), group));
  return renderTable(columns, by === "total" ? [row("total", total)] : [...rows, row("total", total)], display);
}

export function meteringJson({ since, until, by, groups, total }: MeteringReport): Record<string, unknown> {
  const round = (group: UsageGroup): Record<string, unknown> => ({ ...group, units: billedUnits(group.amounts) });
  return {
    ...{ since: new Date(since).toISOString(), until: new Date(until).toISOString(), by },
    ...{ groups: groups.map(round), total: round(total) },
  };
}

/** RFC 4180, with a line of titles. */
export function meteringCsv({ groups, by }: MeteringReport): string {
  const titles = [by, "id", "sandboxes", "cpu_seconds", "memory_gb_hours", "storage_gib_months", "sent_bytes"];
  const lines = groups.map(({ key, id, sandboxes, amounts, cost }) => {
    const units = billedUnits(amounts);
    const numbers = [sandboxes, amounts.cpuMs / 1000, units.memoryGbHour, units.storageGibMonth, amounts.sentBytes];
    return [key ?? "", id ?? "", ...numbers, amounts.receivedBytes, cost ?? ""].map(csvCell).join(",");
  });
  return [[...titles, "received_bytes", "cost_usd"].join(","), ...lines].join("\r\n");
}

function amountCells(amounts: Amounts): string[] {
  const { memoryGbHour, storageGibMonth } = billedUnits(amounts);
  return [
    cpuTime(amounts.cpuMs),
    `${quantity(memoryGbHour)} GB-h`,
    `${quantity(storageGibMonth)} GiB-mo`,
    humanSize(amounts.sentBytes),
    humanSize(amounts.receivedBytes),
  ];
}

function cpuTime(ms: number): string {
  if (ms < 600_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 36_000_000 ? `${(ms / 60_000).toFixed(1)} min` : `${(ms / 3_600_000).toFixed(1)} h`;
}

function quantity(amount: number): string {
  return amount >= 100 ? amount.toFixed(0) : amount.toFixed(4);
}

function nameOf({ key, id }: UsageGroup): string {
  return key ?? id ?? "-";
}

/** A cell that a spreadsheet would take for a formula is quoted with an apostrophe before it. */
function csvCell(value: string | number): string {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
