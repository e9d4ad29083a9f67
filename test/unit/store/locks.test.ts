/** Locks are held by processes, not by files: a dead holder never keeps anybody waiting. */
import { test } from "node:test";
import assert from "node:assert/strict";
import path from "node:path";
import { ownIdentity } from "../../../src/host/process-identity.ts";
import { openDatabase } from "../../../src/store/database.ts";
import { acquireLock, lockExists } from "../../../src/store/locks.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

function hold(database: ReturnType<typeof openDatabase>, pid: number, start: string): void {
  database.prepare("INSERT INTO locks (name, pid, start) VALUES ('door', ?, ?)").run(pid, start);
}

test("a lock excludes others until it is disposed", async (t) => {
  const database = openDatabase(path.join(temporaryDirectory(t), "sbx.db"));
  const first = await acquireLock(database, "door");
  const waits: number[] = [];
  let taken = false;
  const second = acquireLock(database, "door", { onWait: (pid) => waits.push(pid) }).then((lock) => {
    taken = true;
    return lock;
  });
  await new Promise((resolve) => setTimeout(resolve, 120));
  assert.equal(taken, false);
  assert.deepEqual(waits, [process.pid]);
  await first[Symbol.asyncDispose]();
  await (await second)[Symbol.asyncDispose]();
  assert.equal(lockExists(database, "door"), false);
  database.close();
});

test("a lock of a dead process is taken over", async (t) => {
  const database = openDatabase(path.join(temporaryDirectory(t), "sbx.db"));
  hold(database, 2 ** 22 + 1, "1");
  await using lock = await acquireLock(database, "door", { onWait: () => assert.fail("waited for a dead process") });
  assert.equal(lock.name, "door");
});

test("a lock of a process whose pid somebody else has now is taken over", async (t) => {
  const database = openDatabase(path.join(temporaryDirectory(t), "sbx.db"));
  hold(database, process.pid, `${ownIdentity().startTicks}0`);
  await using lock = await acquireLock(database, "door", { onWait: () => assert.fail("waited for another process") });
  assert.equal(lock.name, "door");
});

test("waiting for a lock ends with the signal", async (t) => {
  const database = openDatabase(path.join(temporaryDirectory(t), "sbx.db"));
  await using _first = await acquireLock(database, "door");
  const abort = new AbortController();
  const waiting = acquireLock(database, "door", { signal: abort.signal, onWait: () => abort.abort() });
  await assert.rejects(waiting, { name: "AbortError" });
});

test("disposing a lock twice does not release it for its next holder", async (t) => {
  const database = openDatabase(path.join(temporaryDirectory(t), "sbx.db"));
  const first = await acquireLock(database, "door");
  await first[Symbol.asyncDispose]();
  await using _second = await acquireLock(database, "door");
  await first[Symbol.asyncDispose]();
  assert.equal(lockExists(database, "door"), true);
});
