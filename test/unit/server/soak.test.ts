/** A short form of `npm run soak`: many clients at once with mixed work, and nothing lost, mixed up or left. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { startSoakServer } from "../../soak/soak-bench.ts";
import { soak } from "../../soak/soak-load.ts";

test("two hundred clients at once make, use, list, leave and end sandboxes, and each gets its own answers", async (t) => {
  for (const method of ["error", "debug", "log"] as const) t.mock.method(console, method, () => undefined);
  const home = mkdtempSync(path.join(tmpdir(), "sbx-soak-"));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  await using server = await startSoakServer(home);
  const { url, tokens } = server;
  const report = await soak({ url, tokens, clients: 200, seconds: 5, seed: 20_26 });
  assert.deepEqual(report.faults, []);
  assert.deepEqual((await server.settled()).left, []);
  assert.ok(report.sandboxes >= 200);
});
