/** Quotas of a month are those of the meter: what is left is a new sandbox's budget, and nothing left makes none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HOUR_MS, NOTHING } from "../../../src/metering/amounts.ts";
import { REFERENCE_RATES } from "../../../src/metering/rates.ts";
import { MonthlyBudget } from "../../../src/server/organisations/monthly-budget.ts";
import { FakeRuntime } from "../../fake-runtime.ts";

const NOW = Date.UTC(2026, 2, 15, 12);

function used(cpuMs: number): FakeRuntime {
  const runtime = new FakeRuntime();
  const row = { kind: "sandbox" as const, id: "a", name: null, labels: {}, app: null, bucket: 0 };
  runtime.meteredUsage = [{ ...row, amounts: { ...NOTHING, cpuMs } }];
  return runtime;
}

test("without a quota nothing is read and nothing limited", async () => {
  const runtime = used(1e12);
  const budget = new MonthlyBudget(runtime, { cpuTimePerMonth: null, costPerMonth: null }, () => NOW);
  assert.deepEqual(await budget.remaining(), []);
  assert.deepEqual(runtime.calls, []);
});

test("what is left counts from the first of the month", async () => {
  const runtime = used(HOUR_MS);
  const budget = new MonthlyBudget(runtime, { cpuTimePerMonth: 3 * HOUR_MS, costPerMonth: 1 }, () => NOW);
  assert.deepEqual(await budget.remaining(), [
    { kind: "cpu", ms: 2 * HOUR_MS },
    { kind: "cost", dollars: 0.95, rates: REFERENCE_RATES },
  ]);
  assert.deepEqual(runtime.calls[0]?.args, [{ since: Date.UTC(2026, 2, 1) }]);
});

for (const [what, quotas] of [
  ["processor time", { cpuTimePerMonth: HOUR_MS, costPerMonth: null }],
  ["money", { cpuTimePerMonth: null, costPerMonth: 0.05 }],
] as const) {
  test(`where the ${what} of the month is used up no sandbox is made`, async () => {
    const budget = new MonthlyBudget(used(HOUR_MS), quotas, () => NOW);
    await assert.rejects(budget.remaining(), { code: "QUOTA_EXCEEDED", message: /of this month is used up/ });
  });
}

test("a meter that cannot be read refuses, and is read again by the next one", async () => {
  const runtime = used(0);
  runtime.failures.set("metering.read", new Error("no room"));
  const budget = new MonthlyBudget(runtime, { cpuTimePerMonth: HOUR_MS, costPerMonth: null }, () => NOW);
  await assert.rejects(budget.remaining(), /no room/);
  assert.equal((await budget.remaining()).length, 1);
});
