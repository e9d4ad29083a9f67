/** fork, checkpoint, pause, resume and `create --checkpoint`: what is asked of the Runtime, and what is printed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import CheckpointCreate from "../../../../src/commands/checkpoint/create.ts";
import CheckpointInspect from "../../../../src/commands/checkpoint/inspect.ts";
import CheckpointList from "../../../../src/commands/checkpoint/list.ts";
import CheckpointRemove from "../../../../src/commands/checkpoint/remove.ts";
import Create from "../../../../src/commands/create.ts";
import Fork from "../../../../src/commands/fork.ts";
import Pause from "../../../../src/commands/pause.ts";
import Resume from "../../../../src/commands/resume.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";
import { checkpointInfo } from "../../../fake-checkpoints.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { runCommand } from "../run-command.ts";

const ID = "sbx_loc_00000000000000000009";

function withWeb(): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [sandboxInfo({ id: ID, name: "web", labels: { project: "shop" } })];
  return runtime;
}

test("fork prints the copies' ids and says how long the source stood still", async () => {
  const result = await runCommand(Fork, "fork", ["web"], { runtime: withWeb() });
  assert.equal(result.stdout, "sbx_loc_00000000000000000001\n");
  assert.match(result.stderr, /web stood still for 42 ms/);
  assert.deepEqual(result.runtime.calls[0]?.args, ["web", { count: 1, lifetimeMs: 30 * 60_000 }]);
});

test("fork passes on how many, their name, labels and lifetime, and the variables that secrets are looked for in", async () => {
  const argv = [
    "web",
    "--count",
    "3",
    "--name",
    "try",
    "--label",
    "a=1",
    "--label",
    "b=2",
    "--timeout",
    "10m",
    "--json",
  ];
  const result = await runCommand(Fork, "fork", argv, { runtime: withWeb(), env: { API_KEY: "value" } });
  assert.deepEqual(result.runtime.calls[0]?.args[1], {
    ...{ count: 3, lifetimeMs: 600_000, name: "try", labels: { a: "1", b: "2" } },
  });
  assert.equal(result.runtime.environment?.API_KEY, "value");
  const { pausedMs, sandboxes } = JSON.parse(result.stdout) as { pausedMs: number; sandboxes: { name: string }[] };
  assert.equal(pausedMs, 42);
  assert.deepEqual(
    sandboxes.map(({ name }) => name),
    ["try-1", "try-2", "try-3"],
  );
  assert.equal(result.stderr, "");
});

test("fork copies volumes on demand", async () => {
  const result = await runCommand(Fork, "fork", ["web", "--volumes", "copy"], { runtime: withWeb() });
  assert.equal((result.runtime.calls[0]?.args[1] as { volumes?: string }).volumes, "copy");
});

for (const argv of [
  [],
  ["web", "--count", "0"],
  ["web", "--count", "101"],
  ["web", "--count", "x"],
  ["web", "--name", "A"],
  ["web", "--volumes", "share"],
]) {
  test(`fork refuses ${JSON.stringify(argv)}`, async () => {
    const result = await runCommand(Fork, "fork", argv, { runtime: withWeb() });
    assert.equal(result.status, 2);
    assert.deepEqual(result.runtime.calls, []);
  });
}

test("a fork that fails prints nothing but the reason and what to do", async () => {
  const runtime = withWeb();
  runtime.failures.set("fork", new SbxError("sandbox_paused", "sandbox web is paused", { hint: "sbx resume web" }));
  const result = await runCommand(Fork, "fork", ["web"], { runtime });
  assert.deepEqual([result.status, result.stdout], [1, ""]);
  assert.match(result.stderr, /sandbox web is paused\n {2}try: sbx resume web/);
});

test("checkpoint create prints the id, and its JSON says how long the source stood still", async () => {
  const result = await runCommand(CheckpointCreate, "checkpoint:create", ["web", "warm"], { runtime: withWeb() });
  assert.equal(result.stdout, "chk_loc_0123456789abcdefghjk\n");
  assert.match(result.stderr, /web stood still for 42 ms/);
  const json = await runCommand(CheckpointCreate, "checkpoint:create", ["web", "warm", "--json"], {
    runtime: withWeb(),
  });
  const printed = JSON.parse(json.stdout) as Record<string, unknown>;
  assert.deepEqual([printed.name, printed.pausedMs, printed.createdAt], ["warm", 42, "2023-11-14T22:13:20.000Z"]);
});

test("checkpoint list shows what each is of and how much it takes", async () => {
  const runtime = new FakeRuntime();
  runtime.checkpoints.checkpoints = [checkpointInfo(), checkpointInfo({ name: "old", source: { id: ID, name: null } })];
  const result = await runCommand(CheckpointList, "checkpoint:list", [], { runtime });
  assert.equal(
    result.stdout,
    [
      "NAME  CREATED  SOURCE                        MEMORY   SIZE",
      "warm  1m ago   web                           1280MiB  286 MiB",
      `old   1m ago   ${ID}  1280MiB  286 MiB`,
      "",
    ].join("\n"),
  );
});

test("checkpoint inspect names what is damaged", async () => {
  const runtime = new FakeRuntime();
  runtime.checkpoints.checkpoints = [checkpointInfo({ faults: ["/x/memory was changed after it was saved"] })];
  const result = await runCommand(CheckpointInspect, "checkpoint:inspect", ["warm"], { runtime });
  assert.match(result.stdout, /^Damaged +\/x\/memory was changed after it was saved$/m);
  const missing = await runCommand(CheckpointInspect, "checkpoint:inspect", ["cold"], { runtime });
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /there is no checkpoint "cold"\n {2}try: sbx checkpoint list/);
});

test("checkpoint remove goes on past one that is not there", async () => {
  const runtime = new FakeRuntime();
  runtime.checkpoints.checkpoints = [checkpointInfo()];
  const result = await runCommand(CheckpointRemove, "checkpoint:remove", ["cold", "warm"], { runtime });
  assert.equal(result.status, 1);
  assert.equal(result.stdout, "chk_loc_0123456789abcdefghjk\n");
  assert.match(result.stderr, /1 of 2 checkpoints failed/);
  assert.deepEqual(runtime.checkpoints.checkpoints, []);
});

test("create --checkpoint asks for a sandbox of that, and for no image or size beside it", async () => {
  const result = await runCommand(Create, "create", ["--checkpoint", "warm", "--name", "box"], {});
  assert.equal(result.status, 0);
  const spec = result.runtime.calls.find(({ method }) => method === "create")?.args[0];
  assert.deepEqual(spec, { checkpoint: "warm", name: "box", lifetime: { kind: "duration", ms: 30 * 60_000 } });
  for (const other of [
    ["--image", "data"],
    ["--memory", "1GiB"],
    ["--cpus", "2"],
    ["--disk", "20GB"],
  ]) {
    const refused = await runCommand(Create, "create", ["--checkpoint", "warm", ...other], {});
    assert.equal(refused.status, 2, other.join(" "));
  }
});

test("pause and resume print the ids, and go on past one that is not there", async () => {
  const runtime = withWeb();
  const paused = await runCommand(Pause, "pause", ["nobody", "web"], { runtime });
  assert.deepEqual([paused.status, paused.stdout], [1, `${ID}\n`]);
  assert.equal(runtime.sandboxes[0]?.status, "paused");
  const resumed = await runCommand(Resume, "resume", ["web", "--json"], { runtime });
  const [info] = JSON.parse(resumed.stdout) as { status: string }[];
  assert.equal(info?.status, "running");
});
