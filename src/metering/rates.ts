/** What usage costs: the prices that the reference service has published, or one's own. */
import { GB, GIB, HOUR_MS, MONTH_HOURS, type Amounts } from "./amounts.ts";

/** US dollars for a unit. */
export interface Rates {
  /** Processor time. */
  cpuHour: number;
  /** A gigabyte (10^9) of memory for an hour. */
  memoryGbHour: number;
  /** A gibibyte of volumes and snapshots for a month of 730 hours. */
  storageGibMonth: number;
  /** A gigabyte (10^9) sent. */
  sentGb: number;
  receivedGb: number;
}

/** What a plan has in it each month, in the units of {@link Rates}. */
export type Included = Partial<Record<keyof Rates, number>>;

export interface Price {
  rates: Rates;
  included: Included;
}

/** Published with the reference service (deno.com/blog/introducing-deno-sandbox, February 2026). */
export const REFERENCE_RATES: Rates = {
  cpuHour: 0.05,
  memoryGbHour: 0.016,
  storageGibMonth: 0.2,
  sentGb: 0,
  receivedGb: 0,
};

/** What its plan for professionals has in it, from the same place. */
export const REFERENCE_INCLUDED: Included = { cpuHour: 40, memoryGbHour: 1000, storageGibMonth: 5 };

/** In the order in which they are shown. */
export const RATE_NAMES = ["cpuHour", "memoryGbHour", "storageGibMonth", "sentGb", "receivedGb"] as const;

/** Amounts in the units that are paid for. */
export function billedUnits(amounts: Amounts): Rates {
  return {
    cpuHour: amounts.cpuMs / HOUR_MS,
    memoryGbHour: amounts.memoryByteHours / GB,
    storageGibMonth: amounts.storageByteHours / GIB / MONTH_HOURS,
    sentGb: amounts.sentBytes / GB,
    receivedGb: amounts.receivedBytes / GB,
  };
}

/** US dollars; not rounded. `included` is taken off before, in each unit by itself. */
export function costOf(amounts: Amounts, { rates, included }: Price): number {
  const units = billedUnits(amounts);
  return RATE_NAMES.reduce((sum, name) => sum + Math.max(0, units[name] - (included[name] ?? 0)) * rates[name], 0);
}
