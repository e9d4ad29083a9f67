/** Usage summed by what a person asks for. Pure. */
import { addAmounts, NOTHING, sumAmounts, type Amounts } from "../../metering/amounts.ts";
import { costOf, type Price } from "../../metering/rates.ts";
import type { MeteredUsage } from "../../runtime/metering.ts";
import { quoteValue, usageError } from "../parsers/usage-error.ts";

export type Grouping =
  | { kind: "sandbox" | "app" | "resource" | "hour" | "day" | "organisation" | "total" }
  | { kind: "label"; label: string };

export interface UsageGroup {
  /** What the group is of; `null` for what is of none, such as what has no such label. */
  key: string | null;
  /** Of one sandbox, volume or snapshot: its id. */
  id: string | null;
  /** How many sandboxes are in it. */
  sandboxes: number;
  amounts: Amounts;
  /** US dollars; `null` without a price. */
  cost: number | null;
}

const KINDS = ["sandbox", "app", "resource", "hour", "day", "organisation", "total"] as const;

/** @throws SbxError `usage` */
export function parseGrouping(text: string): Grouping {
  const kind = KINDS.find((name) => name === text);
  if (kind !== undefined) return { kind };
  const label = /^label:(.{1,64})$/.exec(text)?.[1];
  if (label !== undefined) return { kind: "label", label };
  throw usageError(
    `${quoteValue(text)} is nothing that usage can be summed by`,
    "give sandbox, app, label:KEY, resource, day, hour, organisation or total",
  );
}

/** Groups, the dearest first where there is a price, else the busiest; days and hours in their order. */
export function groupUsage(rows: readonly MeteredUsage[], by: Grouping, price: Price | null): UsageGroup[] {
  const groups = new Map<string, { key: string | null; id: string | null; ids: Set<string>; amounts: Amounts }>();
  for (const row of rows) {
    const { key, id } = keyOf(row, by);
    const name = `${id ?? ""} ${key ?? ""}`;
    const group = groups.get(name) ?? { key, id, ids: new Set<string>(), amounts: NOTHING };
    if (row.kind === "sandbox") group.ids.add(row.id);
    groups.set(name, { ...group, amounts: addAmounts(group.amounts, row.amounts) });
  }
  const all = [...groups.values()].map(({ key, id, ids, amounts }) => ({
    ...{ key, id, amounts, sandboxes: ids.size },
    // What a plan has in it is of the whole bill, and is taken off its sum alone.
    cost: price === null ? null : costOf(amounts, { rates: price.rates, included: {} }),
  }));
  if (by.kind === "day" || by.kind === "hour") return all.toSorted((a, b) => (a.key ?? "").localeCompare(b.key ?? ""));
  return byCost(all);
}

/** The dearest first, else the busiest. */
export function byCost(groups: readonly UsageGroup[]): UsageGroup[] {
  return groups.toSorted((a, b) => (b.cost ?? 0) - (a.cost ?? 0) || b.amounts.cpuMs - a.amounts.cpuMs);
}

/** Everything in one. */
export function totalUsage(rows: readonly MeteredUsage[], price: Price | null): UsageGroup {
  const amounts = sumAmounts(rows);
  const sandboxes = new Set(rows.filter(({ kind }) => kind === "sandbox").map(({ id }) => id)).size;
  return { key: null, id: null, sandboxes, amounts, cost: price === null ? null : costOf(amounts, price) };
}

function keyOf(row: MeteredUsage, by: Grouping): { key: string | null; id: string | null } {
  switch (by.kind) {
    case "label":
      return { key: Object.hasOwn(row.labels, by.label) ? (row.labels[by.label] ?? null) : null, id: null };
    case "app":
      return { key: row.app, id: null };
    case "resource":
      return { key: row.kind, id: null };
    case "organisation":
    case "total":
      return { key: null, id: null };
    case "day":
      return { key: new Date(row.bucket).toISOString().slice(0, 10), id: null };
    case "hour":
      return { key: `${new Date(row.bucket).toISOString().slice(0, 13)}:00Z`, id: null };
    case "sandbox":
      return { key: row.name, id: row.id };
  }
}
