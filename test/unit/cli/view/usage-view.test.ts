/** The table of `sbx top` on a terminal: one row a sandbox, within its columns, whatever guests say of themselves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compareUsage } from "../../../../src/cli/top/usage-rates.ts";
import { usageTables } from "../../../../src/cli/view/usage-view.ts";
import { PLAIN } from "../../../../src/cli/output/palette.ts";
import { usageAnswer, type UsageAnswer } from "../../../../src/protocol/usage-calls.ts";
import type { SandboxUsage } from "../../../../src/runtime/watching.ts";

const MOST = { bytes: 2 ** 50, count: 2 ** 32 - 1, ms: 2 ** 42 };

/** The most that a guest can claim, in an answer that is still believed. */
function answer(at: number, guestCpuMs: number): UsageAnswer {
  const { bytes, count, ms } = MOST;
  const process = { pid: count, uid: count, name: "\u001b".repeat(64), state: "R", cpuMs: ms, windowMs: 250 };
  return usageAnswer().parse({
    at,
    host: { cpuMs: at, memoryBytes: 1.5e9 },
    guest: {
      ...{ cpuMs: guestCpuMs, memoryTotalBytes: bytes, memoryUsedBytes: bytes - 2 ** 41, diskTotalBytes: bytes },
      ...{ diskUsedBytes: bytes, processes: count, oomKills: 0, busiest: [{ ...process, memoryBytes: bytes }] },
    },
    disk: { readBytes: at * 1.04e6, writtenBytes: at * 1.04e6, layerBytes: 1.5e10 },
    network: { sentBytes: at * 1.04e6, receivedBytes: at * 1.04e6, connections: 1, requests: at, denied: 0 },
  });
}

function sandbox(at: number, guestCpuMs: number): SandboxUsage {
  const facts = { cpus: 2, memoryBytes: 2 ** 30, startedAt: 0, status: "running" as const };
  return { id: "sbx_loc_1", name: "a-name-that-is-quite-long-for-a-sandbox", ...facts, usage: answer(at, guestCpuMs) };
}

for (const width of [80, 120, 200]) {
  test(`with ${width} columns there is a row for each, and a line for its processes`, () => {
    const measured = compareUsage([sandbox(1000, 0)], [sandbox(2000, MOST.ms)], "cpu");
    const lines = usageTables(measured, { palette: PLAIN, width }).split("\n");
    assert.equal(lines.length, 5, lines.join("\n"));
    assert.match(lines[0] ?? "", /^SANDBOX .* MEMORY .* READ\/s +WRITE\/s +IN\/s +OUT\/s/);
    for (const line of lines) assert.ok(line.length <= width, line);
  });
}

test("processor time that no machine can have is not shown", () => {
  const measured = compareUsage([sandbox(1000, 0)], [sandbox(2000, MOST.ms)], "cpu");
  const [, row = ""] = usageTables(measured, { palette: PLAIN, width: 200 }).split("\n");
  assert.match(row, /^a-name-that-is-quite-long-for-a-sandbox {2}- +100% /);
});
