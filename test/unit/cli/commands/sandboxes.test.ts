import assert from "node:assert/strict";
import { test } from "node:test";
import Extend from "../../../../src/commands/extend.ts";
import Inspect from "../../../../src/commands/inspect.ts";
import Kill from "../../../../src/commands/kill.ts";
import List from "../../../../src/commands/list.ts";
import Prune from "../../../../src/commands/prune.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { runCommand } from "../run-command.ts";

const NOW = 1_700_000_060_000;

function threeSandboxes(): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [
    sandboxInfo({
      id: "sbx_loc_00000000000000000003",
      name: "web",
      labels: { project: "shop" },
      expiresAt: NOW + 90 * 60_000,
    }),
    sandboxInfo({ id: "sbx_loc_00000000000000000002", expiresAt: null }),
    sandboxInfo({
      id: "sbx_loc_00000000000000000001",
      name: "old\u001b[2J\u202e",
      status: "stopped",
      reason: "out_of_memory",
      stoppedAt: NOW - 10_000,
      expiresAt: null,
    }),
  ];
  return runtime;
}

test("list shows each sandbox with its age, status, uptime and end, stopped ones with the reason", async () => {
  const result = await runCommand(List, "list", [], { runtime: threeSandboxes() });
  assert.equal(
    result.stdout,
    [
      "ID                            NAME            CREATED  STATUS                   UPTIME  EXPIRES",
      "sbx_loc_00000000000000000003  web             1m ago   running                  59s     in 1h30m",
      "sbx_loc_00000000000000000002  -               1m ago   running                  59s     with its session",
      "sbx_loc_00000000000000000001  old\\e[2J\\u202e  1m ago   stopped (out of memory)  49s     -",
      "",
    ].join("\n"),
  );
});

test("on a terminal of 80 columns list says in full why a sandbox stopped", async () => {
  const options = { runtime: threeSandboxes(), tty: { stdout: true, columns: 80 }, env: { NO_COLOR: "1" } };
  const result = await runCommand(List, "list", [], options);
  const lines = result.stdout.trimEnd().split("\n");
  assert.ok(lines.every((line) => line.length <= 80));
  assert.match(lines.at(-1) ?? "", / {2}out of memory {2}49s /);
});

test("list leaves out sandboxes that ended with their command; --all shows them, and nothing hides a failure", async () => {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [
    sandboxInfo({ id: "sbx_loc_00000000000000000001", status: "stopped", reason: "session_ended" }),
    sandboxInfo({ id: "sbx_loc_00000000000000000002", status: "stopped", reason: "crashed" }),
    sandboxInfo({ id: "sbx_loc_00000000000000000003", status: "stopped", reason: "expired" }),
  ];
  const shown = await runCommand(List, "list", ["-q"], { runtime });
  assert.equal(shown.stdout, "sbx_loc_00000000000000000002\nsbx_loc_00000000000000000003\n");
  const all = await runCommand(List, "list", ["-q", "--all"], { runtime });
  assert.equal(all.stdout.split("\n").length, 4);
});

test("list fits the terminal: cells shrink, and a narrow terminal gets blocks", async () => {
  const wide = await runCommand(List, "list", [], {
    runtime: threeSandboxes(),
    tty: { stdout: true, columns: 90 },
    env: { NO_COLOR: "1" },
  });
  for (const line of wide.stdout.split("\n")) assert.ok(line.length <= 90, line);
  assert.match(wide.stdout, / {2}old\\e\[2J\\u202e {2}1m ago {3}out of memory {2}/);
  const narrow = await runCommand(List, "list", [], {
    runtime: threeSandboxes(),
    tty: { stdout: true, columns: 40 },
    env: { NO_COLOR: "1" },
  });
  assert.match(narrow.stdout, /^ID {7}sbx_loc_00000000000000000003\nNAME {5}web\n/);
});

test("list on a terminal has colours, and NO_COLOR takes them away", async () => {
  const options = { runtime: threeSandboxes(), tty: { stdout: true, columns: 200 } };
  assert.match(
    (await runCommand(List, "list", [], { ...options, env: { TERM: "xterm" } })).stdout,
    /\u001b\[32mrunning/,
  );
  assert.doesNotMatch(
    (await runCommand(List, "list", [], { ...options, env: { TERM: "xterm", NO_COLOR: "1" } })).stdout,
    /\u001b/,
  );
});

test("list filters by label and by whether they run", async () => {
  const labelled = await runCommand(List, "list", ["-q", "--label", "project=shop"], { runtime: threeSandboxes() });
  assert.equal(labelled.stdout, "sbx_loc_00000000000000000003\n");
  const running = await runCommand(List, "list", ["--running", "--quiet"], { runtime: threeSandboxes() });
  assert.equal(running.stdout, "sbx_loc_00000000000000000003\nsbx_loc_00000000000000000002\n");
});

test("list --json is an array with ISO times, also when there is nothing", async () => {
  const result = await runCommand(List, "list", ["--json"], { runtime: threeSandboxes() });
  const list = JSON.parse(result.stdout) as {
    id: string;
    createdAt: string;
    expiresAt: string | null;
    reason: string | null;
  }[];
  assert.deepEqual(
    list.map(({ reason }) => reason),
    [null, null, "out_of_memory"],
  );
  assert.equal(list[0]?.createdAt, "2023-11-14T22:13:20.000Z");
  assert.equal(list[1]?.expiresAt, null);
  assert.equal((await runCommand(List, "list", ["--json"])).stdout, "[]\n");
});

test("inspect shows what is known, and nothing of what is not", async () => {
  const result = await runCommand(Inspect, "inspect", ["web"], { runtime: threeSandboxes() });
  assert.match(result.stdout, /^ID {10} +sbx_loc_00000000000000000003\nName +web\nStatus +running\n/);
  assert.match(result.stdout, /\nMemory +1280MiB\n/);
  assert.match(result.stdout, /\nLabels +project=shop\n/);
  assert.doesNotMatch(result.stdout, /Reason|Stopped/);
});

test("a prefix that fits several sandboxes is refused with status 2", async () => {
  const result = await runCommand(Inspect, "inspect", ["sbx_loc"], { runtime: threeSandboxes() });
  assert.equal(result.status, 2);
  assert.equal(result.stdout, "");
});

test("kill stops each sandbox that was named and prints its id", async () => {
  const runtime = threeSandboxes();
  const result = await runCommand(Kill, "kill", ["web", "sbx_loc_00000000000000000002"], {
    runtime,
    tty: { stdin: true, stderr: true },
  });
  assert.equal(result.stdout, "sbx_loc_00000000000000000003\nsbx_loc_00000000000000000002\n");
  assert.deepEqual(
    runtime.sandboxes.map(({ status }) => status),
    ["stopped", "stopped", "stopped"],
  );
});

test("kill tries the others when one fails, and says which", async () => {
  const runtime = threeSandboxes();
  const result = await runCommand(Kill, "kill", ["nobody", "web"], { runtime });
  assert.equal(result.status, 1);
  assert.equal(result.stdout, "sbx_loc_00000000000000000003\n");
  assert.match(result.stderr, /^sbx: 1 of 2 sandboxes failed\n {7}nobody: no sandbox is called "nobody"\n/);
});

test("kill --all without a terminal asks nobody and leaves stopped ones alone", async () => {
  const runtime = threeSandboxes();
  await runCommand(Kill, "kill", ["--all"], { runtime });
  const removed = runtime.calls.filter(({ method }) => method === "remove").map(({ args }) => args[0]);
  assert.deepEqual(removed, ["sbx_loc_00000000000000000003", "sbx_loc_00000000000000000002"]);
});

test("kill needs to be told what, and not twice", async () => {
  assert.equal((await runCommand(Kill, "kill", [])).status, 2);
  assert.equal((await runCommand(Kill, "kill", ["web", "--all"])).status, 2);
});

test("extend tells the new end and never shortens a life", async () => {
  const runtime = threeSandboxes();
  const result = await runCommand(Extend, "extend", ["web", "10m", "--json"], { runtime });
  assert.deepEqual(JSON.parse(result.stdout), { sandbox: "web", expiresAt: new Date(NOW + 90 * 60_000).toISOString() });
  const longer = await runCommand(Extend, "extend", ["web", "3h"], { runtime });
  assert.match(longer.stdout, /^web lives until \d\d:\d\d:\d\d \(in 3h\)\n$/);
  assert.equal((await runCommand(Extend, "extend", ["web", "soon"], { runtime })).status, 2);
});

test("prune says what went, and --dry-run what would", async () => {
  const runtime = new FakeRuntime();
  runtime.pruneReport = {
    removed: [
      { kind: "sandbox", id: "sbx_a", bytes: 1024 ** 3 },
      { kind: "process", id: "4711", bytes: 0 },
    ],
    failed: [],
  };
  const dry = await runCommand(Prune, "prune", ["--dry-run"], { runtime });
  assert.equal(dry.stdout, "sandbox sbx_a (1 GiB)\nprocess 4711\n");
  assert.equal(dry.stderr, "sbx: would remove 1 sandbox, 1 process (1 GiB)\n");
  const real = await runCommand(Prune, "prune", ["--images", "--json"], { runtime });
  assert.deepEqual(JSON.parse(real.stdout), { ...runtime.pruneReport, dryRun: false });
  assert.deepEqual(
    runtime.calls.map(({ args }) => args[0]),
    [
      { dryRun: true, images: false },
      { dryRun: undefined, images: true },
    ],
  );
});

test("prune ends with 1 when something could not be removed", async () => {
  const runtime = new FakeRuntime();
  runtime.pruneReport = { removed: [], failed: [{ kind: "directory", id: "x", error: "busy" }] };
  const result = await runCommand(Prune, "prune", ["--yes"], { runtime });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /not removed: directory x: busy/);
});
