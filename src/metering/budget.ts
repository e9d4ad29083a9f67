/** What one sandbox may use before it is ended. */
import { NOTHING, type SandboxCounters } from "./amounts.ts";
import { costOf, type Rates } from "./rates.ts";

export interface Budget {
  /** Processor time, `ms`. */
  cpuMs?: number | undefined;
  /** US dollars at these rates. What the sandbox's volumes cost is not a part of it. */
  cost?: { limit: number; rates: Rates } | undefined;
}

/** In words, what is used up; `null` where nothing is. */
export function findExcess({ cpuMs, cost }: Budget, counters: SandboxCounters): string | null {
  if (cpuMs !== undefined && counters.cpuMs >= cpuMs) {
    return `it has used ${seconds(counters.cpuMs)} of processor time; its limit is ${seconds(cpuMs)}`;
  }
  if (cost === undefined) return null;
  const spent = costOf({ ...NOTHING, ...counters }, { rates: cost.rates, included: {} });
  return spent < cost.limit ? null : `it has cost ${dollars(spent)}; its limit is ${dollars(cost.limit)}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function dollars(amount: number): string {
  return `$${amount.toFixed(amount < 0.01 ? 6 : 2)}`;
}
