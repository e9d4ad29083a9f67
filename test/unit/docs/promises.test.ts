/** docs/security.md promises nothing without a test: each guarantee names files of tests that are there. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import path from "node:path";

const ROOT = path.resolve(import.meta.dirname, "../../..");
const SECURITY = readFileSync(path.join(ROOT, "docs", "security.md"), "utf8");

/** Rows of the table of guarantees, without its head. */
function guarantees(): string[] {
  const [, section = ""] = SECURITY.split("## Guarantees");
  const rows = (section.split("\n## ")[0] ?? "").split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2);
}

test("every guarantee names at least one test", () => {
  const rows = guarantees();
  assert.ok(rows.length > 20);
  for (const row of rows) {
    const cells = row.split("|").map((cell) => cell.trim());
    assert.match(cells[3] ?? "", /`test\/[^`]+\.test\.ts`/, row);
  }
});

test("the tests and sources that the documentation names are there", () => {
  for (const name of ["security.md", "network.md", "hooks.md", "architecture.md"]) {
    const text = readFileSync(path.join(ROOT, "docs", name), "utf8");
    for (const [, file = ""] of text.matchAll(/`((?:test|examples)\/[\w./*-]+)`/g)) {
      assert.ok(globSync(file, { cwd: ROOT }).length > 0, `docs/${name} names ${file}`);
    }
  }
});
