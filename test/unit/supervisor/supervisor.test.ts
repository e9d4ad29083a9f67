/**
 * The supervisor's life, as a process: a sandbox either runs and is recorded so, or nothing of it is left. The guest is
 * the real agent, the machine is not.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { LAUNCH_VERSION } from "../../../src/protocol/launch.ts";
import type { SandboxInfo } from "../../../src/runtime/types.ts";
import { ask, startBench } from "./supervisor-bench.ts";

test("a committed sandbox outlives its launcher, and DELETE ends it without leftovers", async (t) => {
  const bench = await startBench(t, "ok");
  await bench.ready;
  bench.commit();
  const { id, socketPath } = bench.launch;
  const { status, body } = await ask(socketPath, "GET", "/sbx/v1/info");
  assert.equal(status, 200);
  assert.equal((body as SandboxInfo).status, "running");
  const row = bench.row();
  assert.equal(row?.status, "running");
  assert.equal(row.supervisor?.pid, bench.child.pid);
  const ended = await ask(socketPath, "DELETE", `/api/v3/sandbox/${id}`);
  assert.equal((ended.body as SandboxInfo).status, "stopped");
  assert.equal(await bench.exited, 0);
  assert.equal(bench.row()?.reason, "killed");
  assert.deepEqual(bench.leftovers(), []);
});

test("a launcher that dies before its commit takes the sandbox with it", async (t) => {
  const bench = await startBench(t, "ok");
  await bench.ready;
  bench.input.destroy();
  assert.equal(await bench.exited, 0);
  assert.equal(bench.row()?.status, "stopped");
  assert.equal(bench.row()?.reason, "session_ended");
  assert.deepEqual(bench.leftovers(), []);
});

test("a launcher that dies while the guest comes up does not have to be waited out", async (t) => {
  const bench = await startBench(t, "silent");
  bench.input.end();
  assert.equal(await bench.exited, 1);
  assert.match(JSON.stringify(bench.answers), /the command that made it ended too early/);
  assert.deepEqual(bench.leftovers(), []);
});

test("SIGTERM during the start gives it up, with a record of why", async (t) => {
  const bench = await startBench(t, "silent");
  while (bench.row()?.supervisor == null) await new Promise((resolve) => setTimeout(resolve, 20));
  bench.child.kill("SIGTERM");
  assert.equal(await bench.exited, 1);
  assert.deepEqual(bench.answers, [
    { type: "door" },
    { type: "failed", error: { code: "aborted", message: "the start was given up: the supervisor got SIGTERM" } },
  ]);
  assert.equal(bench.row()?.status, "failed");
  assert.deepEqual(bench.leftovers(), []);
});

test("SIGTERM to a running supervisor ends its sandbox in order", async (t) => {
  const bench = await startBench(t, "ok");
  await bench.ready;
  bench.commit();
  bench.child.kill("SIGTERM");
  assert.equal(await bench.exited, 0);
  assert.equal(bench.row()?.reason, "killed");
  assert.equal(bench.row()?.detail, "the supervisor got SIGTERM");
  assert.deepEqual(bench.leftovers(), []);
});

test("a sandbox that was removed while it started does not come up", async (t) => {
  const bench = await startBench(t, "silent", { record: false });
  assert.equal(await bench.exited, 1);
  assert.match(JSON.stringify(bench.answers), /the sandbox was removed meanwhile/);
  assert.deepEqual(bench.leftovers(), []);
});

test("QEMU's last words are the launcher's error, and lie beside the logs for later", async (t) => {
  const bench = await startBench(t, "dies");
  assert.equal(await bench.exited, 1);
  const error = {
    code: "vm_start_failed",
    message: "QEMU ended with status 1: qemu-system: could not open the disk",
    hint: "sbx doctor",
  };
  assert.deepEqual(bench.answers, [{ type: "door" }, { type: "failed", error }]);
  assert.deepEqual(JSON.parse(readFileSync(path.join(bench.launch.directory, "failure.json"), "utf8")), error);
  assert.equal(bench.row()?.status, "failed");
  assert.deepEqual(bench.leftovers(), []);
});

test("a guest whose kernel panics is told from one that is slow", async (t) => {
  const bench = await startBench(t, "panics");
  assert.equal(await bench.exited, 1);
  assert.match(JSON.stringify(bench.answers), /the guest's kernel panicked/);
});

test("the death of the machine ends a running sandbox as crashed", async (t) => {
  const bench = await startBench(t, "ok");
  await bench.ready;
  bench.commit();
  process.kill(bench.row()?.vmPid ?? 0, "SIGKILL");
  assert.equal(await bench.exited, 0);
  assert.equal(bench.row()?.reason, "crashed");
  assert.match(bench.row()?.detail ?? "", /^QEMU ended by SIGKILL/);
  assert.deepEqual(bench.leftovers(), []);
});

test("a session whose token nobody else has does not end with other connections' tokens", async (t) => {
  const bench = await startBench(t, "ok", {
    change: (launch) => (launch.lifetime = { kind: "session", token: "0123" }),
  });
  await bench.ready;
  bench.commit();
  const { body } = await ask(bench.launch.socketPath, "GET", "/sbx/v1/info");
  assert.equal((body as SandboxInfo).expiresAt, null);
});

test("extending never shortens a life, and says the end that holds", async (t) => {
  const bench = await startBench(t, "ok");
  await bench.ready;
  bench.commit();
  const { id, socketPath } = bench.launch;
  const target = `/api/v3/sandbox/${id}`;
  const before = (await ask(socketPath, "GET", "/sbx/v1/info")).body as SandboxInfo;
  const less = await ask(socketPath, "PATCH", target, JSON.stringify({ stop_at_ms: Date.now() + 1000 }));
  assert.ok(Math.abs((less.body as { stop_at_ms: number }).stop_at_ms - (before.expiresAt ?? 0)) < 1000);
  const more = await ask(socketPath, "PATCH", target, JSON.stringify({ stop_at_ms: Date.now() + 3_600_000 }));
  assert.ok((more.body as { stop_at_ms: number }).stop_at_ms > (before.expiresAt ?? 0) + 1_000_000);
  assert.ok((bench.row()?.expiresAt ?? 0) > (before.expiresAt ?? 0) + 1_000_000);
});

for (const [what, line, message] of [
  ["garbage", "{]", "the supervisor was started with something that is no launch"],
  ["another version", `{"version":99,"kind":"sandbox"}`, `the launch has version 99, not ${LAUNCH_VERSION}`],
  ["an unknown kind", `{"version":${LAUNCH_VERSION},"kind":"tea"}`, 'there is no launch of the kind "tea"'],
] as const) {
  test(`a launch that is ${what} is refused in words`, async (t) => {
    const bench = await startBench(t, "ok", { line });
    assert.equal(await bench.exited, 1);
    assert.equal(bench.answers.length, 1);
    assert.ok(
      JSON.stringify(bench.answers[0]).includes(JSON.stringify(message).slice(1, -1)),
      JSON.stringify(bench.answers),
    );
  });
}
