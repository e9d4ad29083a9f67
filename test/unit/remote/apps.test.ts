/** Apps of a server, by the published API: as those of this machine, as far as the API has words for them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeployAsset, DeploySpec } from "../../../src/runtime/apps.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { runApps } from "../apps/fake-program.ts";
import { openPublishedServer } from "./published-server.ts";
import { openRemoteBench } from "./remote-bench.ts";

const SANDBOX = "sbx_loc_0123456789abcdefghjk";
const MAIN: DeploySpec["source"] = {
  kind: "assets",
  assets: new Map<string, DeployAsset>([
    ["main.ts", { kind: "file", content: Buffer.from([0xff, 0x00, 0x0a]) }],
    ["link", { kind: "symlink", target: "main.ts" }],
  ]),
};

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

test("apps and layers are what they are on the server, whatever was asked of them", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const { apps, layers } = { apps: remote.apps, layers: remote.apps.layers };
  await layers.create({ slug: "base", description: "common", env: [{ key: "A", value: "1" }] });
  await layers.update("base", { env: [{ key: "A", remove: true }] });
  const made = await apps.create({
    ...{ slug: "shop", labels: { team: "a b" }, layers: ["base"], config: { install: null } },
    env: [{ key: "KEY", value: "canary", isSecret: true, contexts: ["production"] }],
  });
  assert.ok(!JSON.stringify(made).includes("canary"));
  await apps.create({});
  const served = await runtime.apps.get("shop");
  // The server tells the default of what was not said.
  const local = { ...served, config: { crons: true, ...served.config } };
  assert.deepEqual(made, local);
  assert.deepEqual(await apps.list({ labels: { team: "a b" }, layer: "base" }), [local]);
  assert.deepEqual(await layers.list({ search: "comm" }), await runtime.apps.layers.list());
  assert.deepEqual(await layers.users("base"), await runtime.apps.layers.users("base"));
  const [variable] = made.env;
  const changed = await apps.update(made.id, { env: [{ id: variable?.id ?? "", remove: true }], labels: {} });
  assert.deepEqual([changed.env, changed.labels], [[], {}]);
  await assert.rejects(layers.remove("base"), { code: "layer_in_use" });
  await apps.remove("shop");
  await layers.remove("base");
  await assert.rejects(apps.get("shop"), { code: "app_not_found" });
  await assert.rejects(layers.get("base"), { code: "layer_not_found" });
  await assert.rejects(apps.create({ slug: "No" }), { code: "usage" });
});

test("a deployment is made, followed to its end, read, kept and removed", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const guest = runApps(runtime);
  const { apps } = remote;
  await apps.create({ slug: "shop" });
  const spec = {
    source: MAIN,
    production: true,
    preview: false,
    env: [{ key: "A", value: "1" }],
    labels: { sha: "x" },
  };
  const queued = await apps.deploy("shop", spec);
  assert.deepEqual([queued.status, queued.env, queued.labels], ["queued", spec.env, spec.labels]);
  const progress = await collect(apps.revisions.progress(queued.id));
  const [last] = await collect(runtime.apps.revisions.progress(queued.id));
  assert.deepEqual(progress.at(-1), last);
  assert.ok(guest.unpacked[0]?.includes(Buffer.from([0xff, 0x00, 0x0a])));
  const lines = await collect(apps.revisions.buildLogs(queued.id, { step: "deploying" }));
  assert.deepEqual(lines, await collect(runtime.apps.revisions.buildLogs(queued.id, { step: "deploying" })));
  const [timeline] = await apps.revisions.timelines(queued.id);
  assert.deepEqual([timeline?.slug, timeline?.context, timeline?.revision], ["production", "production", queued.id]);
  assert.deepEqual(
    (await apps.timelines("shop")).map(({ slug }) => slug),
    ["production"],
  );
  assert.deepEqual(
    (await apps.revisions.list("shop", { status: "succeeded" })).map(({ id }) => id),
    [queued.id],
  );
  assert.equal((await apps.revisions.keep(queued.id, true)).isKept, true);
  await assert.rejects(apps.revisions.remove(queued.id), { code: "revision_in_use" });
  await assert.rejects(apps.revisions.get("000000000009"), { code: "revision_not_found" });
  await assert.rejects(collect(apps.revisions.buildLogs("000000000009")), { code: "revision_not_found" });
});

test("all of an app's log comes, whatever the pages", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runApps(runtime);
  await remote.apps.create({ slug: "shop" });
  const { id } = await remote.apps.deploy("shop", { source: MAIN, production: true, preview: false });
  await collect(remote.apps.revisions.progress(id));
  runtime.logLines = Array.from({ length: 2500 }, (_, at) => ({
    ...{ time: 1_700_000_000_000 + at, source: "process" as const, text: `line ${at}` },
    process: { pid: 1, stream: "stdout" as const },
  }));
  const lines = await remote.apps.logs("shop", { since: 1_700_000_000_000 });
  assert.deepEqual(
    [lines.length, lines.at(-1)],
    [2500, { time: 1_700_000_002_499, level: "info", message: "line 2499", revision: id }],
  );
});

test("a sandbox of the server is deployed there, and what the API has no words for is refused, not left out", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runApps(runtime, { files: { "server.ts": "Deno.serve()" } });
  runtime.sandboxes = [sandboxInfo()];
  await remote.apps.create({ slug: "shop" });
  const source = { kind: "sandbox" as const, sandbox: SANDBOX, path: "/home/app/site" };
  const spec = { source, production: true, preview: false };
  const config = { runtime: { type: "dynamic" as const, entrypoint: "server.ts", args: ["x"] } };
  const { id } = await remote.apps.deploy("shop", { ...spec, config });
  await collect(remote.apps.revisions.progress(id));
  const revision = await remote.apps.revisions.get(id);
  assert.deepEqual([revision.status, revision.config.runtime], ["succeeded", config.runtime]);
  for (const more of [
    { config: { runtime: { type: "static" as const, cwd: "." } } },
    { config: { predeploy: "migrate" } },
    { labels: { a: "b" } },
    { env: [{ key: "A", value: "1" }] },
  ]) {
    await assert.rejects(
      remote.apps.deploy("shop", { ...spec, ...more }),
      { code: "unsupported" },
      JSON.stringify(more),
    );
  }
});

test("a build that is given up is given up on the server", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runApps(runtime);
  runtime.createGate = new Promise(() => undefined);
  await remote.apps.create({ slug: "shop" });
  const { id } = await remote.apps.deploy("shop", { source: MAIN, production: true, preview: false });
  assert.ok((await remote.apps.revisions.cancel(id)).cancelRequestedAt !== null);
  await collect(remote.apps.revisions.progress(id));
  assert.equal((await remote.apps.revisions.get(id)).failureReason, "cancelled");
  await remote.apps.revisions.remove(id);
  assert.deepEqual(await remote.apps.revisions.list("shop"), []);
});

test("a revision becomes production again on the server, and what production runs is told", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const guest = runApps(runtime);
  const { apps } = remote;
  await apps.create({ slug: "shop" });
  const deploy = async (production: boolean): Promise<string> => {
    const { id } = await apps.deploy("shop", { source: MAIN, production, preview: !production });
    await collect(apps.revisions.progress(id));
    return id;
  };
  const [first, preview] = [await deploy(true), await deploy(false)];
  await assert.rejects(apps.activate("shop"), { code: "usage" });
  const promoted = await apps.activate("shop", preview);
  assert.deepEqual([promoted.slug, promoted.app.slug, promoted.revision], ["production", "shop", preview]);
  assert.deepEqual(await apps.timelines("shop"), await runtime.apps.timelines("shop"));
  assert.equal((await apps.activate("shop")).revision, first);
  await assert.rejects(apps.activate("shop", "000000000009"), { code: "revision_not_found" });
  await assert.rejects(apps.activate("other"), { code: "app_not_found" });
  for (const { id } of runtime.sandboxes) await runtime.remove(id);
  guest.isHealthy = false;
  await assert.rejects(apps.activate("shop", preview), { code: "guest_error" });
  assert.equal((await runtime.apps.timelines("shop")).find(({ slug }) => slug === "production")?.revision, first);
});

test("a revision that is made production needs the right to apps, and room in the quotas", async (t) => {
  const { remote, runtime, call, makeToken } = await openRemoteBench(t, { config: { quotas: { sandboxes: 1 } } });
  runApps(runtime);
  await remote.apps.create({ slug: "shop" });
  const { id } = await remote.apps.deploy("shop", { source: MAIN, production: true, preview: false });
  await collect(remote.apps.revisions.progress(id));
  const token = makeToken({ scopes: ["read"] });
  const refused = await call("POST", "/api/sbx/v1/app.activate", { token, body: { app: "shop", revision: id } });
  assert.equal(refused.status, 403);
  for (const { id } of runtime.sandboxes) await runtime.remove(id);
  runtime.sandboxes = [sandboxInfo()];
  await assert.rejects(remote.apps.activate("shop", id), { code: "quota_exceeded" });
  assert.equal(runtime.sandboxes.length, 1);
});

test("a server of the published API alone makes no earlier revision production, and is not asked for it", async (t) => {
  const { remote, requests } = await openPublishedServer(t);
  await assert.rejects(remote.apps.activate("shop", "000000000001"), { code: "unsupported", hint: /sbx deploy/ });
  assert.deepEqual(
    requests.filter(({ method }) => method !== "GET"),
    [],
  );
});

test("what is active says where it is found, if the server has a gateway", async (t) => {
  const { remote, runtime } = await openRemoteBench(t, { withDoors: true });
  runApps(runtime);
  await remote.apps.create({ slug: "shop" });
  const { id } = await remote.apps.deploy("shop", { source: MAIN, production: true, preview: true });
  await collect(remote.apps.revisions.progress(id));
  const hosts = (await remote.apps.timelines("shop")).map(({ domains }) => domains[0]?.split(".")[0]);
  assert.deepEqual(hosts.toSorted(), ["shop", `shop-${id}`]);
  const own = await remote.apps.revisions.timelines(id);
  assert.deepEqual(own.map(({ domains }) => domains[0]?.split(".")[0]).toSorted(), ["shop", `shop-${id}`]);
});

test("how instances are kept is said with a new app or later, and shown, on a server too", async (t) => {
  const { remote, runtime, call, makeToken } = await openRemoteBench(t);
  const { apps } = remote;
  const made = await apps.create({ slug: "shop", instances: { idleMs: 600_000 } });
  assert.deepEqual(made.instances, { idleMs: 600_000, concurrency: 50, instances: 3 });
  const changed = await apps.update("shop", { slug: "store", instances: { instances: 5 } });
  assert.deepEqual([changed.slug, changed.instances], ["store", { idleMs: 600_000, concurrency: 50, instances: 5 }]);
  assert.deepEqual((await runtime.apps.get("store")).instances, changed.instances);
  assert.deepEqual((await apps.list())[0]?.instances, changed.instances);
  const body = { app: "store", instances: { instances: 1 } };
  const refused = await call("POST", "/api/sbx/v1/app.configure", { token: makeToken({ scopes: ["read"] }), body });
  assert.equal(refused.status, 403);
  await assert.rejects(apps.update("store", { instances: { instances: 21 } }), { code: "usage" });
  await assert.rejects(apps.create({ slug: "half", instances: { idleMs: 1 } }), { code: "usage" });
  assert.deepEqual(
    (await apps.list()).map(({ slug }) => slug),
    ["store"],
  );
});

test("a server of the published API alone is not told how instances are kept, and nothing is made or changed", async (t) => {
  const { remote, requests } = await openPublishedServer(t);
  const instances = { instances: 5 };
  await assert.rejects(remote.apps.create({ slug: "shop", instances }), { code: "unsupported" });
  await assert.rejects(remote.apps.update("shop", { slug: "store", instances }), { code: "unsupported" });
  assert.deepEqual(
    requests.filter(({ method }) => method !== "GET"),
    [],
  );
});
