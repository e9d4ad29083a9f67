/**
 * The package `deno-sandbox` for Python, unmodified, against `sbx serve`. The tests themselves are in Python
 * (test/sdk/python), since they are examples of its documentation; here is what became of each.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { runPythonTests, type PythonReport } from "../sdk/python-sdk.ts";
import { SdkBench } from "./support/sdk-bench.ts";

const MODULES = ["test_commands", "test_files", "test_service"];

let bench: SdkBench;
let report: PythonReport;

before(async () => {
  bench = await SdkBench.open();
  report = await runPythonTests(MODULES, bench.env);
});

after(async () => bench[Symbol.asyncDispose]());

test("the documented examples of the SDK for Python work", async (t) => {
  assert.ok(report.tests.length > 0);
  for (const { title, failure, ms } of report.tests) {
    await t.test(`${title} (${ms} ms)`, () => assert.equal(failure, null, failure ?? ""));
  }
});
