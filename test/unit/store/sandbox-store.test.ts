/** Rows change along the lifecycle only, whoever asks first wins, and a damaged row is told from an absent one. */
import { test } from "node:test";
import assert from "node:assert/strict";
import path from "node:path";
import { SbxError } from "../../../src/runtime/errors.ts";
import { openDatabase } from "../../../src/store/database.ts";
import { SandboxStore } from "../../../src/store/sandbox-store.ts";
import { sampleSandbox } from "./sample-sandbox.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

test("a sandbox is read as it was written", (t) => {
  const store = new SandboxStore(openDatabase(path.join(temporaryDirectory(t), "sbx.db")));
  const row = sampleSandbox({ name: "web" });
  store.insert(row);
  assert.deepEqual(store.get(row.id), {
    ...row,
    status: "creating",
    startedAt: null,
    stoppedAt: null,
    expiresAt: null,
    reason: null,
    detail: null,
    supervisor: null,
    vmPid: null,
    isPaused: false,
  });
});

test("whether a sandbox is paused is a fact of a live one, and no step of its life", (t) => {
  const store = new SandboxStore(openDatabase(path.join(temporaryDirectory(t), "sbx.db")));
  const { id } = sampleSandbox();
  store.insert(sampleSandbox({ id }));
  store.transition(id, "running");
  assert.equal(store.amend(id, { isPaused: true }), true);
  assert.deepEqual([store.get(id)?.status, store.get(id)?.isPaused], ["running", true]);
  assert.equal(store.transition(id, "stopped", { reason: "expired" }), true);
  assert.equal(store.amend(id, { isPaused: false }), false);
});

test("of two processes that end a sandbox, one is told that it was first", (t) => {
  const file = path.join(temporaryDirectory(t), "sbx.db");
  const [one, other] = [new SandboxStore(openDatabase(file)), new SandboxStore(openDatabase(file))];
  const { id } = sampleSandbox();
  one.insert(sampleSandbox({ id }));
  assert.equal(one.transition(id, "running"), true);
  assert.equal(other.transition(id, "stopped", { reason: "crashed" }), true);
  assert.equal(one.transition(id, "stopping", { reason: "killed" }), false);
  assert.equal(one.transition(id, "stopped", { reason: "killed" }), false);
  assert.equal(one.get(id)?.reason, "crashed");
});

test("facts of a sandbox that is over do not change, and a live one cannot be forgotten", (t) => {
  const store = new SandboxStore(openDatabase(path.join(temporaryDirectory(t), "sbx.db")));
  const { id } = sampleSandbox();
  store.insert(sampleSandbox({ id }));
  assert.equal(store.amend(id, { vmPid: 7 }), true);
  assert.equal(store.forget(id), false);
  assert.equal(store.transition(id, "failed"), true);
  assert.equal(store.amend(id, { vmPid: 8 }), false);
  assert.equal(store.get(id)?.vmPid, 7);
  assert.equal(store.forget(id), true);
  assert.equal(store.get(id), undefined);
});

test("a name belongs to one live sandbox, and is free again when that one is over", (t) => {
  const store = new SandboxStore(openDatabase(path.join(temporaryDirectory(t), "sbx.db")));
  const first = sampleSandbox({ name: "web" });
  store.insert(first);
  assert.throws(
    () => store.insert(sampleSandbox({ name: "web" })),
    (error: unknown) =>
      error instanceof SbxError &&
      error.code === "name_in_use" &&
      error.message === 'the name "web" belongs to a sandbox that is running' &&
      error.hint === "choose another name, or end that one: sbx kill web",
  );
  store.transition(first.id, "failed");
  store.insert(sampleSandbox({ name: "web" }));
});

test("sandboxes are listed newest first, and live ones apart", (t) => {
  const store = new SandboxStore(openDatabase(path.join(temporaryDirectory(t), "sbx.db")));
  const rows = [sampleSandbox({ createdAt: 5 }), sampleSandbox({ createdAt: 9 }), sampleSandbox({ createdAt: 7 })];
  for (const row of rows) store.insert(row);
  store.transition(rows[1]?.id ?? "", "failed");
  assert.deepEqual(
    store.list().map(({ createdAt }) => createdAt),
    [9, 7, 5],
  );
  assert.deepEqual(
    store
      .listLive()
      .map(({ createdAt }) => createdAt)
      .sort(),
    [5, 7],
  );
});

for (const [what, damage] of [
  ["a spec that is no JSON", "UPDATE sandboxes SET spec = '{'"],
  ["a spec without its image", `UPDATE sandboxes SET spec = '{"cpus":1}'`],
  ["an unknown status", "UPDATE sandboxes SET status = 'dancing'"],
] as const) {
  test(`a row with ${what} is reported as damage of the state, with its id`, (t) => {
    const database = openDatabase(path.join(temporaryDirectory(t), "sbx.db"));
    const store = new SandboxStore(database);
    const row = sampleSandbox();
    store.insert(row);
    database.exec(damage);
    assert.throws(
      () => store.list(),
      (error: unknown) =>
        error instanceof SbxError &&
        error.code === "state_broken" &&
        error.message === `the record of sandbox ${row.id} is damaged`,
    );
  });
}
