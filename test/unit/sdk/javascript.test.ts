/**
 * The SDK for JavaScript is pinned by what it documents: a new version with something new turns this red until a test
 * uses it, or test/sdk/not-supported.ts says why none can.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { PROJECT_PATH, readMembers } from "../../sdk/declared-members.ts";
import { EXAMPLES } from "../../sdk/examples.ts";
import { NOT_SUPPORTED } from "../../sdk/not-supported.ts";

const TESTS_PATH = path.join(PROJECT_PATH, "test");

function sdkTests(): string[] {
  return readdirSync(TESTS_PATH, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => path.join(TESTS_PATH, name))
    .filter((file) => readFileSync(file, "utf8").includes('from "@deno/sandbox"'));
}

test("every method, option and field that the SDK for JavaScript documents is used by a test", () => {
  const { declared, used } = readMembers(sdkTests());
  const impossible = NOT_SUPPORTED.javascript;
  assert.ok(declared.size > 450 && declared.has("Sandbox.create") && declared.has("SandboxOptions.port"));
  assert.deepEqual(
    [...declared].filter((member) => !used.has(member) && !impossible.has(member)),
    [],
  );
  assert.deepEqual(
    [...impossible.keys()].filter((member) => used.has(member) || !declared.has(member)),
    [],
  );
});

test("every documented example names tests that are there", () => {
  assert.deepEqual(
    EXAMPLES.map(({ number }) => number),
    Array.from({ length: 43 }, (_, at) => at + 1),
  );
  for (const { number, tests = [] } of EXAMPLES) {
    assert.ok(tests.length > 0, `${number}`);
    for (const [file, title] of tests) {
      const source = readFileSync(path.join(TESTS_PATH, file), "utf8");
      assert.ok(source.includes(`test("${title}`), `${number}: ${file} has no test "${title}…"`);
    }
  }
});
