/** What one sandbox may use before it is ended. */
import { NOTHING, type SandboxCounters } from "./amounts.ts";
import { costOf, type Rates } from "./rates.ts";

/** Processor time in `ms`, or US dollars at some rates. What the sandbox's volumes cost is not a part of it. */
export type BudgetLimit = { kind: "cpu"; ms: number } | { kind: "cost"; dollars: number; rates: Rates };

/** The first limit that is reached ends it. */
export type Budget = readonly BudgetLimit[];

/** Of a copy: whoever makes it may give it other limits than its source has, for each kind. Nothing is used of them yet. */
export function inheritBudget(source: Budget = [], given: Budget = []): BudgetLimit[] {
  return [...source.filter(({ kind }) => given.every((limit) => limit.kind !== kind)), ...given];
}

/** In words, what is used up; `null` where nothing is. */
export function findExcess(budget: Budget, counters: SandboxCounters): string | null {
  for (const limit of budget) {
    const excess = limit.kind === "cpu" ? cpuExcess(limit.ms, counters) : costExcess(limit, counters);
    if (excess !== null) return excess;
  }
  return null;
}

function cpuExcess(limitMs: number, { cpuMs }: SandboxCounters): string | null {
  if (cpuMs < limitMs) return null;
  return `it has used ${seconds(cpuMs)} of processor time; its limit is ${seconds(limitMs)}`;
}

function costExcess(
  { dollars: limit, rates }: BudgetLimit & { kind: "cost" },
  counters: SandboxCounters,
): string | null {
  const spent = costOf({ ...NOTHING, ...counters }, { rates, included: {} });
  return spent < limit ? null : `it has cost ${dollars(spent)}; its limit is ${dollars(limit)}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function dollars(amount: number): string {
  return `$${amount.toFixed(amount < 0.01 ? 6 : 2)}`;
}
