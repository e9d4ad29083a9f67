/** Limits of a sandbox, and those of its copies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inheritBudget, type BudgetLimit } from "../../../src/metering/budget.ts";
import { REFERENCE_RATES } from "../../../src/metering/rates.ts";

const SECOND: BudgetLimit = { kind: "cpu", ms: 1000 };
const MINUTE: BudgetLimit = { kind: "cpu", ms: 60_000 };
const DOLLAR: BudgetLimit = { kind: "cost", dollars: 1, rates: REFERENCE_RATES };

test("a copy has its source's limits, but for those that it is given others of", () => {
  assert.deepEqual(inheritBudget(undefined, undefined), []);
  assert.deepEqual(inheritBudget([SECOND, DOLLAR], undefined), [SECOND, DOLLAR]);
  assert.deepEqual(inheritBudget(undefined, [MINUTE]), [MINUTE]);
  assert.deepEqual(inheritBudget([SECOND, DOLLAR], [MINUTE]), [DOLLAR, MINUTE]);
});

test("of two limits of one kind that a copy is given both hold", () => {
  assert.deepEqual(inheritBudget([SECOND], [MINUTE, SECOND]), [MINUTE, SECOND]);
});
