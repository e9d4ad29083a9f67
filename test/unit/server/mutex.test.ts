/** Who waits for whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyedMutex } from "../../../src/server/organisations/mutex.ts";

test("work of one key comes one after the other, in the order of asking and past what fails; another key's does not wait", async () => {
  const mutex = new KeyedMutex();
  const begun: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = mutex.run("a", async () => {
    begun.push("a1");
    await gate.promise;
    throw new Error("failed");
  });
  const second = mutex.run("a", async () => void begun.push("a2"));
  await mutex.run("b", async () => void begun.push("b"));
  assert.deepEqual(begun, ["a1", "b"]);
  gate.resolve();
  await assert.rejects(first, /failed/);
  await second;
  await mutex.run("a", async () => void begun.push("a3"));
  assert.deepEqual(begun, ["a1", "b", "a2", "a3"]);
});
