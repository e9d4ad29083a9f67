import assert from "node:assert/strict";
import { test } from "node:test";
import { compareUsage, ratesOf } from "../../../../src/cli/top/usage-rates.ts";
import type { SandboxUsage } from "../../../../src/runtime/watching.ts";

interface Figures {
  at: number;
  cpu: number;
  memory?: number;
}

function sandbox(name: string, figures: Figures | null): SandboxUsage {
  const base = { id: `sbx_${name}`, name, status: "running", cpus: 1, memoryBytes: 1, startedAt: 1 } as const;
  if (figures === null) return { ...base, usage: null };
  const { at, cpu, memory = 0 } = figures;
  return {
    ...base,
    usage: {
      ...{ at, host: { cpuMs: 2 * cpu, memoryBytes: memory }, guest: null },
      disk: { readBytes: cpu, writtenBytes: 0, layerBytes: 0 },
      network: { sentBytes: 0, receivedBytes: 0, connections: 0, requests: 0, denied: 0 },
    },
  };
}

test("a rate needs two measurements with time between them", () => {
  const [early, late] = [sandbox("a", { at: 1000, cpu: 0 }), sandbox("a", { at: 3000, cpu: 500 })];
  assert.equal(ratesOf(undefined, late).hostCpuPercent, null);
  assert.equal(ratesOf(early, sandbox("a", null)).hostCpuPercent, null);
  assert.equal(ratesOf(early, early).hostCpuPercent, null);
  const rates = ratesOf(early, late);
  assert.deepEqual([rates.intervalMs, rates.hostCpuPercent, rates.readBytesPerSecond], [2000, 50, 250]);
  assert.equal(rates.guestCpuPercent, null, "the guest did not say");
});

test("a counter that began anew has no negative rate", () => {
  const rates = ratesOf(sandbox("a", { at: 0, cpu: 900 }), sandbox("a", { at: 1000, cpu: 10 }));
  assert.equal(rates.hostCpuPercent, 0);
});

test("sandboxes are in the order that was asked for; equal ones by name", () => {
  const before = ["b", "a", "c"].map((name) => sandbox(name, { at: 0, cpu: 0 }));
  const now = [
    sandbox("b", { at: 1000, cpu: 10, memory: 5 }),
    sandbox("a", { at: 1000, cpu: 10, memory: 9 }),
    sandbox("c", { at: 1000, cpu: 400, memory: 1 }),
    sandbox("d", null),
  ];
  const order = (sort: "cpu" | "memory" | "name"): string =>
    compareUsage(before, now, sort)
      .map((measured) => measured.sandbox.name)
      .join("");
  assert.equal(order("cpu"), "cabd");
  assert.equal(order("memory"), "abcd");
  assert.equal(order("name"), "abcd");
});
