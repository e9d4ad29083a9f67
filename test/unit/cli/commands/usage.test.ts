/** `sbx usage`: what it asks for, how it sums, and that names of others do no harm in what it prints. */
import assert from "node:assert/strict";
import { test } from "node:test";
import Create from "../../../../src/commands/create.ts";
import Usage from "../../../../src/commands/usage.ts";
import { GB, HOUR_MS, NOTHING, type Amounts } from "../../../../src/metering/amounts.ts";
import { REFERENCE_RATES } from "../../../../src/metering/rates.ts";
import type { MeteredUsage } from "../../../../src/runtime/metering.ts";
import { FakeRuntime } from "../../../fake-runtime.ts";
import { runCommand } from "../run-command.ts";

function used(id: string, amounts: Partial<Amounts>, more: Partial<MeteredUsage> = {}): MeteredUsage {
  const row = { kind: "sandbox" as const, id, name: id, labels: {}, app: null, bucket: 0 };
  return { ...row, ...more, amounts: { ...NOTHING, ...amounts } };
}

function runtimeWith(...rows: MeteredUsage[]): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.meteredUsage = rows;
  return runtime;
}

const ROWS = [
  used("web", { cpuMs: HOUR_MS, memoryByteHours: 10 * GB, sentBytes: 5 }, { labels: { team: "a" } }),
  used("job", { cpuMs: 2 * HOUR_MS, memoryByteHours: 1 * GB }, { labels: { team: "b" } }),
  used("job2", { cpuMs: HOUR_MS }, { labels: { team: "b" } }),
  used("data", { storageByteHours: 1024 ** 3 * 730 }, { kind: "volume" }),
];

test("each thing has a row, the dearest first, and a sum below", async () => {
  const { stdout, status } = await runCommand(Usage, "usage", ["--price", "reference"], {
    runtime: runtimeWith(...ROWS),
  });
  assert.equal(status, 0);
  assert.deepEqual(
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.replaceAll(/ {2,}/g, "|")),
    [
      "SANDBOX|CPU|MEMORY|STORAGE|OUT|IN|COST",
      "web|60.0 min|10.0000 GB-h|0.0000 GiB-mo|5 B|0 B|$0.2100",
      "data|0.0 s|0.0000 GB-h|1.0000 GiB-mo|0 B|0 B|$0.2000",
      "job|120.0 min|1.0000 GB-h|0.0000 GiB-mo|0 B|0 B|$0.1160",
      "job2|60.0 min|0.0000 GB-h|0.0000 GiB-mo|0 B|0 B|$0.0500",
      "total|240.0 min|11.0000 GB-h|1.0000 GiB-mo|5 B|0 B|$0.5760",
    ],
  );
});

test("a plan's amounts are taken off the sum alone", async () => {
  const args = ["--price", "reference-plan", "--json"];
  const { stdout } = await runCommand(Usage, "usage", args, { runtime: runtimeWith(...ROWS) });
  const { total, groups } = JSON.parse(stdout) as { total: { cost: number }; groups: { cost: number }[] };
  assert.equal(total.cost, 0);
  assert.equal(groups[0]?.cost.toFixed(4), "0.2100");
});

test("usage is summed by a label, and what has none is apart", async () => {
  const { stdout } = await runCommand(Usage, "usage", ["--by", "label:team", "--json"], {
    runtime: runtimeWith(...ROWS),
  });
  const { groups, by } = JSON.parse(stdout) as { by: string; groups: { key: string | null; sandboxes: number }[] };
  assert.equal(by, "label:team");
  assert.deepEqual(
    groups.map(({ key, sandboxes }) => [key, sandboxes]),
    [
      ["b", 2],
      ["a", 1],
      [null, 0],
    ],
  );
});

test("days are asked for as days, and come in their order", async () => {
  const runtime = runtimeWith(
    used("b", { cpuMs: 9 }, { bucket: 24 * HOUR_MS }),
    used("a", { cpuMs: 1 }, { bucket: 0 }),
  );
  const args = ["--by", "day", "--since", "1970-01-01T00:00:00Z", "--json"];
  const { stdout } = await runCommand(Usage, "usage", args, { runtime });
  const { groups } = JSON.parse(stdout) as { groups: { key: string }[] };
  assert.deepEqual(
    groups.map(({ key }) => key),
    ["1970-01-01", "1970-01-02"],
  );
  const [call] = runtime.calls.filter(({ method }) => method === "metering.read");
  assert.partialDeepStrictEqual(call?.args[0], { since: 0, by: "day" });
});

test("CSV quotes what needs it, and gives a spreadsheet no formula", async () => {
  const runtime = runtimeWith(used("i1", { cpuMs: 1500 }, { name: '=cmd|"x",1' }), used("i2", {}, { name: "ok" }));
  const { stdout } = await runCommand(Usage, "usage", ["--csv"], { runtime });
  assert.deepEqual(stdout.trimEnd().split("\r\n"), [
    "sandbox,id,sandboxes,cpu_seconds,memory_gb_hours,storage_gib_months,sent_bytes,received_bytes,cost_usd",
    `"'=cmd|""x"",1",i1,1,1.5,0,0,0,0,`,
    "ok,i2,1,0,0,0,0,0,",
  ]);
});

test("a name with control characters is shown escaped", async () => {
  const runtime = runtimeWith(used("i1", {}, { name: "\u001b[2J" }));
  const { stdout } = await runCommand(Usage, "usage", [], { runtime });
  assert.ok(!stdout.includes("\u001b") && stdout.includes("\\e[2J"));
});

for (const args of [
  ["--by", "colour"],
  ["--by", "label:"],
  ["--price", "cpu=a"],
  ["--price", "gold=1"],
  ["--price", "cpu=1,cpu=2"],
  ["--price", "cpu=1e9"],
  ["--csv", "--json"],
]) {
  test(`usage ${args.join(" ")} is refused with status 2`, async () => {
    const runtime = runtimeWith();
    const { status, stdout } = await runCommand(Usage, "usage", args, { runtime });
    assert.deepEqual([status, stdout], [2, ""]);
    assert.deepEqual(runtime.calls, []);
  });
}

test("a new sandbox is given its budget", async () => {
  const runtime = new FakeRuntime();
  const args = ["--detach", "--max-cpu-time", "90s", "--max-cost", "$0.05"];
  await runCommand(Create, "create", args, { runtime });
  const [call] = runtime.calls.filter(({ method }) => method === "create");
  const budget = [
    { kind: "cpu", ms: 90_000 },
    { kind: "cost", dollars: 0.05, rates: REFERENCE_RATES },
  ];
  assert.partialDeepStrictEqual(call?.args[0], { budget });
  for (const wrong of [
    ["--max-cost", "0"],
    ["--max-cost", "x"],
    ["--price", "reference"],
    ["--max-cpu-time", "0s"],
  ]) {
    const { status } = await runCommand(Create, "create", ["--detach", ...wrong], { runtime: new FakeRuntime() });
    assert.equal(status, 2, wrong.join(" "));
  }
});
