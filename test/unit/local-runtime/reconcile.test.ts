/** After a kill at any moment the next command finds out what is over, why, and leaves nothing of it. */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { ownIdentity } from "../../../src/host/process-identity.ts";
import { removeLeftovers } from "../../../src/runtime/local/leftovers.ts";
import { statePaths } from "../../../src/runtime/local/paths.ts";
import { reconcile, refresh } from "../../../src/runtime/local/reconcile.ts";
import { openState } from "../../../src/runtime/local/state.ts";
import { openDatabase } from "../../../src/store/database.ts";
import { SandboxStore, type NewSandbox } from "../../../src/store/sandbox-store.ts";
import { sampleSandbox } from "../store/sample-sandbox.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const DEAD = { pid: 2 ** 22 + 1, startTicks: "1" };
/** This pid, but as if somebody else had had it before. */
const REUSED = { ...ownIdentity(), startTicks: "1" };

function setUp(t: TestContext, change: Partial<NewSandbox> = {}): { store: SandboxStore; row: NewSandbox } {
  const root = temporaryDirectory(t);
  const store = new SandboxStore(openDatabase(path.join(root, "sbx.db")));
  const row = sampleSandbox({ directory: path.join(root, "box"), socket: path.join(root, "box.sock"), ...change });
  mkdirSync(row.directory);
  writeFileSync(path.join(row.directory, "disk.qcow2"), "layer");
  writeFileSync(path.join(row.directory, "console.log"), "words");
  writeFileSync(row.socket, "");
  store.insert(row);
  return { store, row };
}

test("a sandbox whose creator lives is left alone", (t) => {
  const { store, row } = setUp(t);
  assert.deepEqual(reconcile(store, Date.now()), []);
  assert.equal(store.get(row.id)?.status, "creating");
  assert.equal(existsSync(row.socket), true);
});

test("a sandbox whose creator was killed before it started anything has failed", (t) => {
  const { store, row } = setUp(t, { creator: DEAD });
  assert.deepEqual(reconcile(store, 77), [row.id]);
  const { status, reason, detail, stoppedAt } = store.get(row.id) ?? {};
  assert.deepEqual([status, reason, detail], ["failed", "start_failed", "the command that made it was ended"]);
  assert.equal(stoppedAt, 77);
});

test("a running sandbox outlives its creator, and ends with its supervisor", (t) => {
  const { store, row } = setUp(t, { creator: DEAD });
  store.transition(row.id, "running", { supervisor: ownIdentity() });
  assert.deepEqual(reconcile(store, Date.now()), []);
  store.amend(row.id, { supervisor: REUSED });
  assert.deepEqual(reconcile(store, Date.now()), [row.id]);
  const { status, reason, detail } = store.get(row.id) ?? {};
  assert.deepEqual([status, reason, detail], ["stopped", "crashed", "its supervisor was ended"]);
});

test("whoever asks about one sandbox learns that its supervisor is gone, though no other command has looked", (t) => {
  const { store, row } = setUp(t, { creator: DEAD });
  store.transition(row.id, "running", { supervisor: ownIdentity() });
  const read = () => store.get(row.id) ?? assert.fail("there is no row");
  assert.equal(refresh(store, read(), 77).status, "running");
  store.amend(row.id, { supervisor: REUSED });
  const { status, reason, stoppedAt } = refresh(store, read(), 77);
  assert.deepEqual([status, reason, stoppedAt], ["stopped", "crashed", 77]);
});

test("a dead sandbox keeps its logs, but neither its layer nor its socket", (t) => {
  const { store, row } = setUp(t, { creator: REUSED });
  reconcile(store, Date.now());
  assert.deepEqual(readdirSync(row.directory), ["console.log"]);
  assert.equal(existsSync(row.socket), false);
});

test("a supervisor that was killed while it stopped keeps the reason for which it did", (t) => {
  const { store, row } = setUp(t);
  store.transition(row.id, "running", { supervisor: DEAD });
  store.transition(row.id, "stopping", { reason: "expired" });
  reconcile(store, Date.now());
  assert.equal(store.get(row.id)?.status, "stopped");
  assert.equal(store.get(row.id)?.reason, "expired");
});

test("a start that was removed before its supervisor was recorded does not stay in between", (t) => {
  const { store, row } = setUp(t, { creator: DEAD });
  store.transition(row.id, "stopping", { reason: "killed" });
  reconcile(store, Date.now());
  assert.equal(store.get(row.id)?.status, "stopped");
});

for (const [what, text, detail] of [
  ["a whole failure record", '{"code":"vm_start_failed","message":"QEMU ended"}', "QEMU ended"],
  ["a record cut short", '{"code":"vm_st', "its supervisor was ended"],
  ["a record of something else", "[]", "its supervisor was ended"],
  ["an endless record", `{"message":"${"x".repeat(100_000)}"}`, "its supervisor was ended"],
] as const) {
  test(`a start that nobody waited for is explained by ${what} as far as it goes`, (t) => {
    const { store, row } = setUp(t, { creator: DEAD });
    store.amend(row.id, { supervisor: DEAD });
    writeFileSync(path.join(row.directory, "failure.json"), text);
    reconcile(store, Date.now());
    assert.equal(store.get(row.id)?.status, "failed");
    assert.equal(store.get(row.id)?.detail, detail);
  });
}

test("stopped sandboxes are listed for a day, then forgotten with their logs", (t) => {
  const { store, row } = setUp(t, { creator: DEAD });
  reconcile(store, 1000);
  reconcile(store, 1000 + 86_399_999);
  assert.notEqual(store.get(row.id), undefined);
  reconcile(store, 1000 + 86_400_000);
  assert.equal(store.get(row.id), undefined);
  assert.equal(existsSync(row.directory), false);
});

test("half-made templates, probes and editors of dead processes go, those of living ones stay", (t) => {
  const paths = statePaths({ SBX_HOME: temporaryDirectory(t) });
  const names = [".build-4194999-x", ".old-4194999-y", `.build-${process.pid}-z`, "0123456789abcdef"];
  for (const name of names) mkdirSync(path.join(paths.templatesPath, name), { recursive: true });
  for (const name of ["probe-4194999-x", `probe-${process.pid}-y`, "editor-4194999-x"]) {
    mkdirSync(path.join(paths.statePath, name), { recursive: true });
  }
  removeLeftovers(paths);
  assert.deepEqual(readdirSync(paths.templatesPath).sort(), [`.build-${process.pid}-z`, "0123456789abcdef"].sort());
  assert.deepEqual(readdirSync(paths.statePath), [`probe-${process.pid}-y`]);
});

for (const [what, damage] of [
  ["a garbled database", (file: string) => writeFileSync(file, "garbage".repeat(2000))],
  ["an emptied database", (file: string) => writeFileSync(file, "")],
] as const) {
  test(`with ${what} a command works on, and removes the directories of sandboxes that do not run`, async (t) => {
    const env = { SBX_HOME: temporaryDirectory(t) };
    const paths = statePaths(env);
    (await openState(env))[Symbol.dispose]();
    const directory = path.join(paths.sandboxesPath, "sbx_loc_0123456789abcdefghjk");
    mkdirSync(directory);
    damage(paths.databasePath);
    using state = await openState(env);
    assert.deepEqual(state.store.list(), []);
    assert.equal(existsSync(directory), false);
  });
}

test("a database whose rows make no sense is set aside like a garbled one", async (t) => {
  const env = { SBX_HOME: temporaryDirectory(t) };
  {
    using state = await openState(env);
    state.store.insert(sampleSandbox());
    state.database.exec("UPDATE sandboxes SET spec = '{'");
  }
  using state = await openState(env);
  assert.deepEqual(state.store.list(), []);
  assert.equal(readdirSync(state.paths.statePath).filter((name) => /damaged-\d+$/.test(name)).length, 1);
});
