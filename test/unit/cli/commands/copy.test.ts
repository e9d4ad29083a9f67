import assert from "node:assert/strict";
import { test } from "node:test";
import Copy from "../../../../src/commands/copy.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { runCommand, type RunResult } from "../run-command.ts";

const A = "sbx_loc_0000000000000000000a";
const B = "sbx_loc_0000000000000000000b";

function runtimeWithTwo(): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [sandboxInfo({ id: A, name: "a" }), sandboxInfo({ id: B, name: "b" })];
  return runtime;
}

async function copy(argv: string[], runtime = runtimeWithTwo()): Promise<RunResult> {
  return runCommand(Copy, "copy", argv, { runtime });
}

function transfersOf(result: RunResult): unknown[][] {
  return result.runtime.calls.filter(({ method }) => method !== "connect").map(({ method, args }) => [method, ...args]);
}

test("copy uploads, downloads and transfers, by where the colon is", async () => {
  assert.deepEqual(transfersOf(await copy(["x", "./y:z", "a:/app/"])), [
    ["upload", A, ["x", "./y:z"], "/app/", undefined],
  ]);
  assert.deepEqual(transfersOf(await copy(["a:*.js", "a:", "out"])), [
    ["download", A, ["*.js", "."], "out", undefined],
  ]);
  assert.deepEqual(transfersOf(await copy(["--user", "root", "a:/x", "b:/y"])), [
    ["transfer", A, ["/x"], B, "/y", "root"],
  ]);
});

test("sources of several places are copied one place after the other into a directory", async () => {
  assert.deepEqual(transfersOf(await copy(["a:/x", "here", "b:/y", "a:/z", "b:/app"])), [
    ["transfer", A, ["/x", "/z"], B, "/app/", undefined],
    ["upload", B, ["here"], "/app/", undefined],
    ["transfer", B, ["/y"], B, "/app/", undefined],
  ]);
});

test("a copy without a sandbox, a target or a name is a usage error", async () => {
  for (const argv of [["x", "y"], ["x"], [], [":x", "y"], ["a b:x", "y"], ["", "a:"]]) {
    const result = await copy(argv);
    assert.equal(result.status, 2, JSON.stringify(argv));
    assert.deepEqual(transfersOf(result), []);
  }
});

test("what was left out is named and makes the status 1", async () => {
  const runtime = runtimeWithTwo();
  runtime.copyReport = { files: 3, bytes: 2048, skipped: [{ path: "run/s\n", reason: "a socket" }] };
  const result = await copy(["x", "a:"], runtime);
  assert.equal(result.status, 1);
  assert.equal(result.stderr, "sbx: not copied: run/s\\n: a socket\n");
  const json = await copy(["--json", "x", "a:"], runtime);
  assert.deepEqual(JSON.parse(json.stdout), runtime.copyReport);
});

test("a terminal is told how much was copied; a script is not", async () => {
  const runtime = runtimeWithTwo();
  runtime.copyReport = { files: 3, bytes: 2048, skipped: [] };
  assert.equal((await copy(["x", "a:"], runtime)).stderr, "");
  const told = await runCommand(Copy, "copy", ["x", "a:"], { runtime, tty: { stderr: true } });
  assert.equal(told.stderr, "sbx: copied 3 files, 2 KiB\n");
});
