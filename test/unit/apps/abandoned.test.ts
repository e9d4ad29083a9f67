/** Revisions whose builder was killed: nobody waits for them for ever. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { RevisionStore } from "../../../src/store/apps/revision-store.ts";
import { openDatabase } from "../../../src/store/database.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

test("a revision of a process that is gone is known as abandoned, one of a living process is not", (t) => {
  const file = path.join(temporaryDirectory(t), "sbx.db");
  const database = openDatabase(file);
  t.after(() => database.close());
  const insertApp = "INSERT INTO apps (id, slug, created_at, updated_at, document) VALUES ('a', 'shop', 1, 1, '{}')";
  database.exec(insertApp);
  const stage = { status: "pending" as const };
  const document = {
    ...{ labels: {}, layers: [], env: [], inherited: [], config: {}, network: null, contentBytes: null },
    ...{ failureReason: null, failure: null, finishedAt: null, isKept: false },
    progress: { queued: stage, preparing: stage, installing: stage, building: stage, deploying: stage, timelines: [] },
  };
  const revisions = new RevisionStore(database);
  revisions.insert({ id: "mine", app: "a", createdAt: 1, document });
  const script = `
    import { openDatabase } from ${JSON.stringify(path.resolve("src/store/database.ts"))};
    import { RevisionStore } from ${JSON.stringify(path.resolve("src/store/apps/revision-store.ts"))};
    const revisions = new RevisionStore(openDatabase(${JSON.stringify(file)}));
    for (const id of ["theirs", "done"])
      revisions.insert({ id, app: "a", createdAt: 1, document: ${JSON.stringify(document)} });
    revisions.change("done", { status: "succeeded" });
    process.kill(process.pid, "SIGKILL");`;
  spawnSync(process.execPath, ["--input-type=module-typescript", "-e", script], { stdio: "inherit" });
  assert.deepEqual(
    revisions.abandoned().map(({ id }) => id),
    ["theirs"],
  );
  revisions.change("theirs", { status: "failed" });
  assert.deepEqual(revisions.abandoned(), []);
  revisions.activate("a", "production", "mine", 2);
  revisions.activate("a", "production", "done", 3);
  assert.deepEqual(
    revisions.timelines({ app: "a" }).map(({ slug, revision }) => [slug, revision]),
    [["production", "done"]],
  );
});
