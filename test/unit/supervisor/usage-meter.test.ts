/** What a sandbox uses, measured without help of the guest where that gives none. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import type { AgentLink } from "../../../src/guest/link.ts";
import { usageAnswer } from "../../../src/protocol/usage-calls.ts";
import { HostProcesses } from "../../../src/supervisor/watch/host-processes.ts";
import { UsageMeter, type UsageMeterOptions } from "../../../src/supervisor/watch/usage-meter.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const STATS = {
  ...{ memoryTotal: 1000, memoryAvailable: 600, processes: 2, oomKills: 0, cpuMs: 50, diskTotal: 90, diskUsed: 40 },
  busiest: [{ pid: 7, uid: 1000, name: "node", state: "R", cpuMs: 10, windowMs: 250, rss: 300 }],
};
const COUNTERS = { connections: 1, requests: 2, denied: 3, leaks: 0, sentBytes: 4, receivedBytes: 5 };

function meter(t: TestContext, change: Partial<UsageMeterOptions> & { call?: (params: unknown) => unknown } = {}) {
  const layer = path.join(temporaryDirectory(t), "disk");
  writeFileSync(layer, Buffer.alloc(100_000, 1));
  const call = change.call ?? (() => STATS);
  const blocks = [{ stats: { rd_bytes: 10, wr_bytes: 20 } }, { stats: { rd_bytes: 1, wr_bytes: 2 } }];
  const options: UsageMeterOptions = {
    vmPid: process.pid,
    qmp: { execute: async () => blocks },
    link: { call: async (_: string, params: unknown) => call(params) } as unknown as AgentLink,
    standsStill: () => false,
    layerPath: () => layer,
    counters: () => COUNTERS,
    ...change,
  };
  return { meter: new UsageMeter(options), layer };
}

test("an answer has the figures of guest, host, disks and network, in the form that readers take", async (t) => {
  const asked: unknown[] = [];
  const { meter: one, layer } = meter(t, { call: (params) => (asked.push(params), STATS) });
  const answer = usageAnswer().parse(JSON.parse(JSON.stringify(await one.measure(5))));
  assert.deepEqual(asked, [{ processes: 5 }]);
  assert.equal(answer.guest?.memoryUsedBytes, 400);
  assert.deepEqual(answer.guest.busiest?.[0], {
    ...{ pid: 7, uid: 1000, name: "node", state: "R", cpuMs: 10, windowMs: 250, memoryBytes: 300 },
  });
  assert.deepEqual(answer.disk, { readBytes: 11, writtenBytes: 22, layerBytes: statSync(layer).blocks * 512 });
  assert.deepEqual(answer.network, { sentBytes: 4, receivedBytes: 5, connections: 1, requests: 2, denied: 3 });
  assert.ok(answer.host.cpuMs > 0 && answer.host.memoryBytes > 1024 ** 2);
});

test("a guest that stands still is not asked, and one that fails leaves the host's figures", async (t) => {
  const still = meter(t, { standsStill: () => true, call: () => assert.fail("it was asked") });
  assert.equal((await still.meter.measure(0)).guest, null);
  const failing = meter(t, { call: () => Promise.reject(new Error("late")) });
  const answer = await failing.meter.measure(0);
  assert.equal(answer.guest, null);
  assert.ok(answer.host.cpuMs > 0);
});

test("a guest that answers nonsense hides nothing but its own figures", async (t) => {
  const [busy] = STATS.busiest;
  const nonsense: unknown[] = [
    null,
    { ...STATS, cpuMs: -1 },
    { ...STATS, processes: 1e300 },
    { ...STATS, memoryTotal: 1e18 },
    { ...STATS, memoryTotal: "1" },
    { ...STATS, busiest: "all" },
    { ...STATS, busiest: [{ ...busy, name: "x".repeat(65) }] },
    { ...STATS, busiest: Array.from({ length: 65 }, () => busy) },
  ];
  for (const stats of nonsense) {
    const { meter: one } = meter(t, { call: () => stats });
    const answer = usageAnswer().parse(JSON.parse(JSON.stringify(await one.measure(5))));
    assert.equal(answer.guest, null);
    assert.ok(answer.host.cpuMs > 0);
  }
});

test("a QEMU that answers nonsense has done nothing that is known", async (t) => {
  for (const nonsense of [null, "x", [{ stats: { rd_bytes: -1, wr_bytes: 0 } }]]) {
    const { meter: one } = meter(t, { qmp: { execute: async () => nonsense } });
    const { disk } = await one.measure(0);
    assert.deepEqual([disk.readBytes, disk.writtenBytes], [0, 0]);
  }
});

test("who asks while a measurement is under way gets that one", async (t) => {
  let calls = 0;
  const { meter: one } = meter(t, { call: () => (calls++, STATS) });
  await Promise.all([one.measure(0), one.measure(0), one.measure(0)]);
  assert.equal(calls, 1);
  await one.measure(0);
  assert.equal(calls, 2);
});

test("the host's share counts a machine's processes, and goes on without those that are gone", async () => {
  const alone = await new HostProcesses(process.pid).measure();
  // The shell is the machine's outermost process, and what counts is below it.
  const child = spawn("sh", ["-c", "head -c 5000000 /dev/zero | sort -z > /dev/null & cat; wait"]);
  const processes = new HostProcesses(child.pid ?? 0);
  const first = await processes.measure();
  assert.ok(first.cpuMs >= alone.cpuMs && first.memoryBytes > 0);
  assert.equal((await processes.measure()).cpuMs >= first.cpuMs, true, "work only grows");
  child.stdin.end();
  child.kill("SIGKILL");
  await once(child, "close");
  const last = await processes.measure();
  assert.ok(last.memoryBytes > 0 && last.cpuMs >= ownTicks() - 1000, "this process is still there");
});

test("a child that the supervisor starts later counts, once it is looked for again", async () => {
  for (const [lookAgainMs, isFound] of [[0, true] as const, [1e9, false] as const]) {
    const processes = new HostProcesses(process.pid, lookAgainMs);
    await processes.measure();
    const child = spawn(process.execPath, [
      "-e",
      "globalThis.held = Buffer.alloc(3e8, 1); process.stdout.write('x'); setInterval(() => 0, 1e6)",
    ]);
    await once(child.stdout, "data");
    const { memoryBytes } = await processes.measure();
    const alone = process.memoryUsage.rss();
    child.kill("SIGKILL");
    await once(child, "close");
    assert.equal(memoryBytes > alone + 1e8, isFound);
  }
});

function ownTicks(): number {
  const stat = readFileSync("/proc/self/stat", "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
