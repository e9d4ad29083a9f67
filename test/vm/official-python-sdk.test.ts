/**
 * The package `deno-sandbox` for Python, unmodified, against `sbx serve`. The tests themselves are in Python
 * (test/sdk/python), since they are examples of its documentation; here is what became of each.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { NOT_SUPPORTED } from "../sdk/not-supported.ts";
import { runPythonTests, type PythonReport } from "../sdk/python-sdk.ts";
import { SdkBench } from "./support/sdk-bench.ts";

const MODULES = ["test_apps", "test_commands", "test_files", "test_service"];
const DOORS = ["--gateway-listen", "127.0.0.1:0", "--ssh-listen", "127.0.0.1:0"];

let bench: SdkBench;
let report: PythonReport;

before(async () => {
  bench = await SdkBench.open(DOORS);
  // A machine that boots, or a template that is made, may take longer than the SDK waits.
  const { home } = bench;
  await home.create("--name", "seed");
  await home.bash("seed", "sudo touch /installed");
  await home.must(["snapshot", "create", "py-root", "--from", "seed"]);
  await home.must(["kill", "seed"]);
  await home.must(["run", "--root", "py-root", "--", "true"]);
  const certificate = bench.server.gateway.certificate ?? "";
  report = await runPythonTests(MODULES, { ...bench.env, SBX_TEST_GATEWAY_CERTIFICATE: certificate });
});

after(async () => bench[Symbol.asyncDispose]());

test("the documented examples of the SDK for Python work", async (t) => {
  assert.ok(report.tests.length > 0);
  for (const { title, failure, ms } of report.tests) {
    await t.test(`${title} (${ms} ms)`, () => assert.equal(failure, null, failure ?? ""));
  }
});

test("every method and option that the SDK for Python has is used by a test, or cannot be used with any server", () => {
  const used = new Set(report.used);
  const impossible = NOT_SUPPORTED.python;
  assert.deepEqual(
    report.surface.filter((member) => !used.has(member) && !impossible.has(member)),
    [],
  );
  assert.deepEqual(
    [...impossible.keys()].filter((member) => used.has(member) || !report.surface.includes(member)),
    [],
  );
});
