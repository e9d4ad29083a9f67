/** The results for people (a table) and for programs (JSON). */
import type { MachineFacts } from "./machine-facts.ts";
import { isRate, type Outcome, type Unit } from "./row.ts";
import type { Series } from "./statistics.ts";

export interface Report {
  machine: MachineFacts;
  outcomes: Outcome[];
  /** Rows that could not be measured. */
  failures: { id: string; error: string }[];
}

const HEADINGS = ["what", "median", "best", "n", "beside", "median", "ratio", "reach", "verdict"];

/** One line per row, in columns. */
export function renderTable({ machine, outcomes, failures }: Report): string {
  const rows = [HEADINGS, ...outcomes.map(cells)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  const broken = failures.map(({ id, error }) => `${id} could not be measured: ${error}`);
  return [...header(machine), "", lines[0], rule, ...lines.slice(1), ...broken, ""].join("\n");
}

function header(machine: MachineFacts): string[] {
  return [
    `sbx ${machine.sbx}, ${machine.date}`,
    `${machine.cores} × ${machine.cpu}, ${Math.round(machine.memoryBytes / 1e9)} GB, Linux ${machine.hostKernel}, load ${machine.load.toFixed(2)}`,
    `accelerator ${machine.accelerator}, QEMU ${machine.qemu}, Node ${machine.node}`,
  ];
}

function cells({ what, unit, series, beside, ratio, reach, reached }: Outcome): string[] {
  return [
    what,
    format(series.median, unit),
    format(best(series, unit), unit),
    String(series.rounds),
    beside?.what ?? "",
    beside === null ? "" : format(beside.series.median, unit),
    ratio === null ? "" : `${ratio.toFixed(ratio < 1 ? 2 : 1)} ×`,
    reach ?? "",
    reached === null ? "" : reached ? "reached" : "MISSED",
  ];
}

/** Of a rate the highest, of a cost the lowest. */
function best(series: Series, unit: Unit): number {
  return isRate(unit) ? series.max : series.min;
}

function format(value: number, unit: Unit): string {
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${unit === "% of a core" ? "%" : unit}`;
}
