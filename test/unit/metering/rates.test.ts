/** What usage costs, and when a budget is used up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GB, GIB, HOUR_MS, MONTH_HOURS, NOTHING } from "../../../src/metering/amounts.ts";
import { findExcess, type Budget } from "../../../src/metering/budget.ts";
import { costOf, REFERENCE_INCLUDED, REFERENCE_RATES } from "../../../src/metering/rates.ts";

const amounts = {
  cpuMs: 100 * HOUR_MS,
  memoryByteHours: 3000 * GB,
  storageByteHours: 10 * GIB * MONTH_HOURS,
  sentBytes: 7 * GB,
  receivedBytes: 9 * GB,
};

test("the published prices: 100 hours of processor, 3,000 GB-hours, 10 GiB for a month", () => {
  const cost = costOf(amounts, { rates: REFERENCE_RATES, included: {} });
  assert.equal(cost.toFixed(6), (100 * 0.05 + 3000 * 0.016 + 10 * 0.2).toFixed(6));
});

test("what a plan has in it is taken off each unit, and never turned into money", () => {
  const cost = costOf(amounts, { rates: REFERENCE_RATES, included: REFERENCE_INCLUDED });
  assert.equal(cost.toFixed(6), (60 * 0.05 + 2000 * 0.016 + 5 * 0.2).toFixed(6));
  assert.equal(costOf(NOTHING, { rates: REFERENCE_RATES, included: REFERENCE_INCLUDED }), 0);
});

test("a budget is used up by processor time or by cost, and says by how much", () => {
  const used = { ...NOTHING, cpuMs: 10_000, memoryByteHours: GB };
  assert.equal(findExcess([], used), null);
  assert.equal(findExcess([{ kind: "cpu", ms: 10_001 }], used), null);
  assert.equal(
    findExcess([{ kind: "cpu", ms: 9_000 }], used),
    "it has used 10.0 s of processor time; its limit is 9.0 s",
  );
  const cost = (dollars: number): Budget => [
    { kind: "cpu", ms: 11_000 },
    { kind: "cost", dollars, rates: REFERENCE_RATES },
  ];
  assert.equal(findExcess(cost(0.0162), used), null);
  assert.equal(findExcess(cost(0.0161), used), "it has cost $0.02; its limit is $0.02");
  assert.equal(findExcess(cost(0.001), used), "it has cost $0.02; its limit is $0.001000");
});
