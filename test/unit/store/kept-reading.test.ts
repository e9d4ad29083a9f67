/** The list of sandboxes is read once for as long as nobody writes, and never shows what is not there. */
import { test } from "node:test";
import assert from "node:assert/strict";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { inTransaction, openDatabase } from "../../../src/store/database.ts";
import { SandboxStore } from "../../../src/store/sandbox-store.ts";
import { sampleSandbox } from "./sample-sandbox.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

function names(store: SandboxStore): (string | null)[] {
  return store.list().map(({ name }) => name);
}

test("a list that nobody has written to since is the same one", (t) => {
  const store = new SandboxStore(openDatabase(path.join(temporaryDirectory(t), "sbx.db")));
  store.insert(sampleSandbox({ name: "web" }));
  const first = store.list();
  assert.equal(store.list(), first);
  assert.equal(store.listLive()[0], first[0]);
});

test("a list holds what this connection and every other one has written before it", (t) => {
  const file = path.join(temporaryDirectory(t), "sbx.db");
  const [one, other] = [new SandboxStore(openDatabase(file)), new SandboxStore(openDatabase(file))];
  assert.deepEqual(names(one), []);
  const { id } = sampleSandbox();
  one.insert(sampleSandbox({ id, name: "mine", createdAt: 2 }));
  assert.deepEqual([names(one), names(other)], [["mine"], ["mine"]]);
  other.insert(sampleSandbox({ name: "theirs", createdAt: 1 }));
  assert.deepEqual(
    [names(one), names(other)],
    [
      ["mine", "theirs"],
      ["mine", "theirs"],
    ],
  );
  other.transition(id, "failed");
  assert.deepEqual([one.list()[0]?.status, one.listLive().length], ["failed", 1]);
  one.forget(id);
  assert.deepEqual([names(one), names(other)], [["theirs"], ["theirs"]]);
});

test("what a transaction saw and took back is in no list after it", (t) => {
  const database: DatabaseSync = openDatabase(path.join(temporaryDirectory(t), "sbx.db"));
  const store = new SandboxStore(database);
  assert.deepEqual(names(store), []);
  const work = (): void =>
    inTransaction(database, () => {
      store.insert(sampleSandbox({ name: "web" }));
      assert.deepEqual(names(store), ["web"]);
      throw new Error("taken back");
    });
  assert.throws(work, /taken back/);
  assert.deepEqual(names(store), []);
});
