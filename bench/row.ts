/** The rows of the table: what was measured, beside what, and whether it is where it should be. */
import type { Bench } from "./workbench.ts";
import { summarize, type Series } from "./statistics.ts";

export type Unit = "ms" | "µs" | "MB/s" | "MB" | "kB" | "requests/s" | "% of a core";

export interface Measured {
  what: string;
  unit: Unit;
  series: Series;
}

export interface Outcome extends Measured {
  id: string;
  beside: Measured | null;
  /** How many times better than `beside`; below 1 it is worse. */
  ratio: number | null;
  /** What the row should reach, in words; `null` for one that only says where others stand. */
  reach: string | null;
  reached: boolean | null;
}

export interface Row {
  /** Name for `--only`. */
  id: string;
  title: string;
  measure: (bench: Bench) => Promise<Outcome[]>;
}

export interface OutcomeInput {
  id: string;
  what: string;
  unit: Unit;
  samples: readonly number[];
  beside?: { what: string; samples: readonly number[] };
  reach?: string;
  /** Given the median and how many times better than `beside` it is. */
  isReached?: (median: number, ratio: number) => boolean;
}

export function outcome({ id, what, unit, samples, beside, reach, isReached }: OutcomeInput): Outcome {
  const series = summarize(samples);
  const other = beside === undefined ? null : { what: beside.what, unit, series: summarize(beside.samples) };
  const ratio = other === null ? null : timesBetter(unit, series.median, other.series.median);
  return {
    id,
    what,
    unit,
    series,
    beside: other,
    ratio,
    reach: reach ?? null,
    reached: isReached?.(series.median, ratio ?? Number.NaN) ?? null,
  };
}

function timesBetter(unit: Unit, own: number, other: number): number {
  return isRate(unit) ? own / other : other / own;
}

/** Whether more is better. */
export function isRate(unit: Unit): boolean {
  return unit === "MB/s" || unit === "requests/s";
}
