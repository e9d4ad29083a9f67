/** The switch of timelines against what may come between: a removal, a cancellation, a crash. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import type { DeployAsset, DeploySpec, RevisionInfo } from "../../../src/runtime/apps.ts";
import { RevisionStore } from "../../../src/store/apps/revision-store.ts";
import { openDatabase } from "../../../src/store/database.ts";
import { FakeRuntime } from "../../fake-runtime.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { runApps } from "./fake-program.ts";

const MAIN: DeployAsset = { kind: "file", content: Buffer.from("Deno.serve(() => new Response('hi'))") };
const PRODUCTION: DeploySpec = {
  source: { kind: "assets", assets: new Map([["main.ts", MAIN]]) },
  ...{ production: true, preview: false },
};

async function deployed({ apps }: FakeRuntime): Promise<RevisionInfo> {
  const { id } = await apps.deploy("shop", PRODUCTION);
  for (;;) {
    const revision = await apps.revisions.get(id);
    if (revision.finishedAt !== null) return revision;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function productionOf({ apps }: FakeRuntime): Promise<string | null | undefined> {
  return (await apps.timelines("shop")).find(({ slug }) => slug === "production")?.revision;
}

test("a revision that becomes production while it is being removed stays, and production with it", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const one = await deployed(runtime);
  await deployed(runtime);
  const remove = runtime.remove.bind(runtime);
  const { promise: removing, resolve } = Promise.withResolvers<void>();
  const activated = removing.then(async () => {
    runtime.remove = remove;
    return runtime.apps.activate("shop", one.id);
  });
  runtime.remove = async (id) => {
    resolve();
    await activated;
    return remove(id);
  };
  await assert.rejects(runtime.apps.revisions.remove(one.id), { code: "revision_in_use" });
  assert.equal(await productionOf(runtime), one.id);
  assert.equal((await runtime.apps.revisions.get(one.id)).status, "succeeded");
});

test("a revision that is removed while it comes up does not become production", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const one = await deployed(runtime);
  const two = await deployed(runtime);
  const tunnel = runtime.tunnel;
  runtime.tunnel = async (id, target) => {
    runtime.tunnel = tunnel;
    await runtime.apps.revisions.remove(one.id);
    return tunnel(id, target);
  };
  await assert.rejects(runtime.apps.activate("shop", one.id), { name: "SbxError" });
  assert.equal(await productionOf(runtime), two.id);
});

test("what is given up at the last moment is not production", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const one = await deployed(runtime);
  const tunnel = runtime.tunnel;
  runtime.tunnel = async (id, target) => {
    const [building] = await runtime.apps.revisions.list("shop", { status: "building" });
    await runtime.apps.revisions.cancel(building?.id ?? "");
    return tunnel(id, target);
  };
  const two = await deployed(runtime);
  assert.deepEqual([two.status, two.failureReason], ["failed", "cancelled"]);
  assert.equal(await productionOf(runtime), one.id);
});

test("all timelines are switched and the revision has succeeded, or none of it, whatever fails between", (t) => {
  const database = openDatabase(path.join(temporaryDirectory(t), "sbx.db"));
  t.after(() => database.close());
  database.exec("INSERT INTO apps (id, slug, created_at, updated_at, document) VALUES ('a', 'shop', 1, 1, '{}')");
  const stage = { status: "pending" as const };
  const timeline = { predeploy: stage, warmup: stage, routing: stage };
  const revisions = new RevisionStore(database);
  const document = {
    ...{ labels: {}, layers: [], env: [], inherited: [], config: {}, network: null, contentBytes: null },
    ...{ failureReason: null, failure: null, finishedAt: null, isKept: false },
    progress: {
      ...{ queued: stage, preparing: stage, installing: stage, building: stage, deploying: stage },
      timelines: [
        { slug: "production", ...timeline },
        { slug: "preview/new", ...timeline },
      ],
    },
  };
  for (const id of ["old", "new"]) revisions.insert({ id, app: "a", createdAt: 1, document });
  revisions.activate("a", "production", "old", 1);
  database.exec(`CREATE TEMP TRIGGER fails BEFORE INSERT ON main.timelines WHEN new.slug = 'preview/new'
    BEGIN SELECT raise(ABORT, 'no room'); END`);
  assert.throws(() => revisions.succeed("new", 2, (progress) => progress), /no room/);
  assert.equal(revisions.activeIn("a", "production"), "old");
  assert.equal(revisions.get("new")?.status, "queued");
  database.exec("DROP TRIGGER fails");
  assert.equal(
    revisions.succeed("new", 2, (progress) => progress),
    true,
  );
  assert.deepEqual(
    revisions.timelines({ app: "a" }).map(({ slug, revision }) => [slug, revision]),
    [
      ["preview/new", "new"],
      ["production", "new"],
    ],
  );
  assert.equal(revisions.get("new")?.status, "succeeded");
  assert.equal(revisions.get("new")?.document.productionAt, 2);
});
