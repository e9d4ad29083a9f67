/** The records of directories in the user's file system belong to processes, and end with them. */
import { test } from "node:test";
import assert from "node:assert/strict";
import path from "node:path";
import { openDatabase } from "../../../src/store/database.ts";
import { StagingStore } from "../../../src/store/staging-store.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

test("a directory of a living process is not abandoned, one of a dead process or of a pid that was given again is", (t) => {
  const database = openDatabase(path.join(temporaryDirectory(t), "sbx.db"));
  const store = new StagingStore(database);
  store.add("/a/own");
  const insert = database.prepare("INSERT INTO staging (path, pid, start) VALUES (?, ?, ?)");
  insert.run("/a/dead", 2 ** 22 + 1, "1");
  insert.run("/a/reused", process.pid, "1");
  assert.deepEqual(store.listAbandoned().sort(), ["/a/dead", "/a/reused"]);
  store.forget("/a/dead");
  store.forget("/a/unknown");
  assert.deepEqual(store.listAbandoned(), ["/a/reused"]);
  database.close();
});
