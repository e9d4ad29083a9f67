/** A directory that goes with its test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";

export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-unit-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
