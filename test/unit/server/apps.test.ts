/** Apps, layers, revisions and timelines over the API, by the official SDK and as they are on the wire. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Client, type Revision } from "@deno/sandbox";
import { HOUR_MS } from "../../../src/metering/amounts.ts";
import type { SandboxSpec } from "../../../src/runtime/types.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { runApps } from "../apps/fake-program.ts";
import { openBench, type ServerBench } from "./harness.ts";

const SANDBOX = "sbx_loc_0123456789abcdefghjk";
const MAIN = { "main.ts": { kind: "file" as const, content: "Deno.serve(() => new Response('hi'))" } };

async function open(t: TestContext, config?: object): Promise<ServerBench & { client: Client }> {
  const bench = await openBench(t, config);
  return { ...bench, client: new Client({ token: bench.token, apiEndpoint: bench.url }) };
}

async function until(client: Client, id: string): Promise<Revision> {
  for await (const progress of client.revisions.progress(id)) assert.ok(progress.queued);
  const revision = await client.revisions.get(id);
  assert.ok(revision);
  return revision;
}

test("apps of the documented examples: made with and without a slug, found, changed, removed", async (t) => {
  const { client, runtime } = await open(t);
  const app = await client.apps.create({ slug: "my-app" });
  assert.deepEqual(
    { ...app, id: "", created_at: "", updated_at: "" },
    {
      id: "",
      slug: "my-app",
      labels: {},
      env_vars: [],
      config: { crons: true },
      layers: [],
      created_at: "",
      updated_at: "",
    },
  );
  assert.match(app.id, /^[0-9a-f-]{36}$/);
  assert.match((await client.apps.create()).slug, /^[a-z][a-z0-9-]+$/);
  assert.deepEqual(await client.apps.get("my-app"), app);
  assert.deepEqual(await client.apps.get(app.id), app);
  runtime.now += 1000;
  const renamed = await client.apps.update(app.id, { slug: "other-app" });
  assert.equal(renamed.created_at, app.created_at);
  assert.ok(renamed.updated_at > app.updated_at);
  await client.apps.delete("other-app");
  assert.equal(await client.apps.get("other-app"), null);
  await assert.rejects(client.apps.delete("other-app"), { status: 404, code: "APP_NOT_FOUND" });
});

test("a slug that is taken is refused with the documented code, and one that cannot be with a sentence", async (t) => {
  const { client } = await open(t);
  await client.apps.create({ slug: "my-app" });
  await assert.rejects(client.apps.create({ slug: "my-app" }), { status: 409, code: "SLUG_ALREADY_IN_USE" });
  await assert.rejects(client.apps.create({ slug: "My App" }), { status: 400, code: "INVALID_REQUEST" });
  const other = await client.apps.create();
  await assert.rejects(client.apps.update(other.id, { slug: "my-app" }), { status: 409 });
});

test("a list has thirty apps a page, the latest change first, and goes on to the end; labels and layers select", async (t) => {
  const { client, runtime } = await open(t);
  await client.layers.create({ slug: "base" });
  for (let at = 0; at < 35; at++) {
    runtime.now++;
    await client.apps.create({ slug: `app-${at}`, labels: { odd: String(at % 2) }, layers: at < 3 ? ["base"] : [] });
  }
  const page = await client.apps.list();
  assert.deepEqual([page.items.length, page.items[0]?.slug, page.hasMore], [30, "app-34", true]);
  const all: string[] = [];
  for await (const { slug } of page) all.push(slug);
  assert.deepEqual([all.length, new Set(all).size, all.at(-1)], [35, 35, "app-0"]);
  const odd: string[] = [];
  for await (const { slug } of await client.apps.list({ labels: { odd: "1" }, limit: 10 })) odd.push(slug);
  assert.equal(odd.length, 17);
  assert.deepEqual(
    (await client.apps.list({ layer: "base" })).items.map(({ slug }) => slug),
    ["app-2", "app-1", "app-0"],
  );
});

test("variables are merged as documented, and secrets are given back to nobody", async (t) => {
  const bench = await open(t);
  const { client } = bench;
  const { env_vars: env } = await client.apps.create({
    slug: "my-app",
    env_vars: [
      { key: "PLAIN", value: "1" },
      { key: "KEY", value: "canary-value", secret: true, contexts: ["production"] },
    ],
  });
  assert.deepEqual(
    env.map(({ key, value, secret, contexts }) => [key, value, secret, contexts]),
    [
      ["PLAIN", "1", false, "all"],
      ["KEY", undefined, true, ["production"]],
    ],
  );
  const updated = await client.apps.update("my-app", {
    env_vars: [
      { id: env[0]?.id ?? "", value: "2" },
      { key: "KEY", delete: true },
      { key: "NEW", value: "3" },
    ],
  });
  assert.deepEqual(
    updated.env_vars.map(({ key, value }) => [key, value]),
    [
      ["PLAIN", "2"],
      ["NEW", "3"],
    ],
  );
  assert.ok(!bench.log().includes("canary-value"));
  for (const key of ["DENO_X", "A-B", "LD_PRELOAD"]) {
    await assert.rejects(client.apps.create({ env_vars: [{ key, value: "x" }] }), {
      status: 400,
      code: "INVALID_REQUEST",
    });
  }
});

test("layers: made, found, changed, with their apps, and not removed while they have any", async (t) => {
  const { client } = await open(t);
  const base = await client.layers.create({
    slug: "base",
    description: "common",
    env_vars: [{ key: "A", value: "1" }],
  });
  const top = await client.layers.create({ slug: "top", layers: ["base"] });
  assert.deepEqual([top.layers, base.app_count, base.description], [[{ id: base.id, slug: "base" }], 0, "common"]);
  const app = await client.apps.create({ slug: "my-app", layers: ["top", "base"] });
  assert.deepEqual(
    app.layers.map(({ slug }) => slug),
    ["top", "base"],
  );
  assert.equal((await client.layers.get("base"))?.app_count, 1);
  assert.deepEqual((await client.layers.apps("base")).items, [{ id: app.id, slug: "my-app", layer_position: 1 }]);
  assert.deepEqual(
    (await client.layers.list({ search: "comm" })).items.map(({ slug }) => slug),
    ["base"],
  );
  await assert.rejects(client.layers.delete("base"), { status: 409, code: "LAYER_IN_USE" });
  await assert.rejects(client.layers.update("base", { layers: ["top"] }), { status: 400, code: "INVALID_REQUEST" });
  await assert.rejects(client.apps.create({ layers: ["none"] }), { status: 404, code: "LAYER_NOT_FOUND" });
  await client.apps.delete("my-app");
  await client.layers.delete("top");
  await client.layers.delete("base");
  assert.equal(await client.layers.get("base"), null);
});

test("assets become a revision: queued, then built, then in production, with its progress and its log", async (t) => {
  const { client, runtime } = await open(t);
  runApps(runtime);
  await client.apps.create({ slug: "my-app" });
  const queued = await client.apps.deploy("my-app", {
    assets: MAIN,
    labels: { sha: "abc" },
    env_vars: [{ key: "A", value: "1" }],
  });
  assert.deepEqual(
    [queued.status, queued.labels, queued.env_vars],
    ["queued", { sha: "abc" }, [{ key: "A", value: "1" }]],
  );
  const steps = [];
  for await (const progress of client.revisions.progress(queued.id)) steps.push(progress);
  const last = steps.at(-1);
  assert.equal(last?.deploying.status, "succeeded");
  assert.deepEqual(
    [last.installing, last.deploying.timelines[0]?.database],
    [{ status: "skipped", command: null }, { status: "skipped" }],
  );
  assert.deepEqual(
    [last.deploying.timelines[0]?.slug, last.deploying.timelines[0]?.routing.status],
    ["production", "succeeded"],
  );
  const revision = await client.revisions.get(queued.id);
  assert.deepEqual([revision?.status, revision?.failure_reason, revision?.deleted_at], ["succeeded", null, null]);
  assert.ok(typeof revision?.build_finished_at === "string");
  const lines = [];
  for await (const line of client.revisions.buildLogs(queued.id, { step: "deploying" })) lines.push(line);
  assert.deepEqual([lines[0]?.step, lines[0]?.level, lines[0]?.timeline], ["deploying", "info", "production"]);
  const [timeline] = (await client.timelines.list("my-app")).items;
  assert.deepEqual(
    [timeline?.slug, timeline?.context.slug, timeline?.app.slug],
    ["production", "production", "my-app"],
  );
  assert.deepEqual(await client.revisions.timelines(queued.id), [timeline]);
  assert.deepEqual(
    (await client.revisions.list("my-app", { status: "succeeded" })).items.map(({ id }) => id),
    [queued.id],
  );
  assert.deepEqual((await client.revisions.list("my-app", { status: "failed" })).items, []);
  await assert.rejects(client.revisions.delete(queued.id), { status: 409, code: "REVISION_IN_USE" });
  assert.equal(await client.revisions.get("000000000000"), null);
});

test("a directory of a sandbox is deployed with the body that the SDK sends, and its end can be waited for", async (t) => {
  const { call, client, runtime } = await open(t);
  runApps(runtime, { files: { "server.ts": "export default { fetch() {} }" } });
  runtime.sandboxes = [sandboxInfo()];
  await client.apps.create({ slug: "my-app" });
  const body = {
    app: "my-app",
    entrypoint: "server.ts",
    args: ["start"],
    production: true,
    path: "my-app",
    mode: "none",
    frameworkPreset: "",
  };
  const { status, body: answer } = await call("POST", `/api/v2/sandboxes/${SANDBOX}/deploy`, { body });
  assert.equal(status, 200);
  const { revision_id: id } = answer as { revision_id: string };
  const revision = await until(client, id);
  assert.deepEqual(
    [revision.status, revision.config.runtime],
    ["succeeded", { type: "dynamic", entrypoint: "server.ts", args: ["start"] }],
  );
  const archived = runtime.calls.find(
    ({ method, args }) => method === "exec" && (args[0] as { argv: string[] }).argv.includes("--create"),
  );
  assert.ok((archived?.args[0] as { argv: string[] }).argv.includes("/home/app/my-app"));
  // Behind what carries its output.
  const start = runtime.calls.findLast(({ method }) => method === "start")?.args[0] as { argv: string[] };
  assert.deepEqual(start.argv.slice(4, 6), ["deno", "serve"]);
  assert.deepEqual(start.argv.slice(-2), ["server.ts", "start"]);
  const missing = await call("POST", `/api/v2/sandboxes/${SANDBOX}/deploy`, { body: { ...body, app: "none" } });
  assert.deepEqual([missing.status, (missing.body as { code: string }).code], [404, "APP_NOT_FOUND"]);
});

test("a stream is events for who asks for them, lines of JSON for who does not, and ends with the revision", async (t) => {
  const { client, runtime, url, token } = await open(t);
  runApps(runtime);
  await client.apps.create({ slug: "my-app" });
  const { id } = await client.apps.deploy("my-app", { assets: MAIN });
  await until(client, id);
  const read = async (path: string, accept: string): Promise<[string | null, string]> => {
    const headers = { authorization: `Bearer ${token}`, accept };
    const response = await fetch(`${url}/api/v2/revisions/${id}/${path}`, { headers });
    return [response.headers.get("content-type"), await response.text()];
  };
  const [type, events] = await read("progress", "text/event-stream");
  assert.equal(type, "text/event-stream");
  assert.match(events, /^data: \{.*\}\n\nevent: done\n\n$/);
  for (const [path, accept] of [
    ["progress", "*/*"],
    ["progress", "application/x-ndjson"],
    ["build_logs", "application/x-ndjson"],
  ] as const) {
    const [lineType, lines] = await read(path, accept);
    assert.equal(lineType, "application/x-ndjson");
    for (const line of lines.trimEnd().split("\n")) assert.equal(typeof JSON.parse(line), "object");
  }
  assert.match((await read("build_logs", "*/*"))[1], /^data: \{"timestamp":"/);
  const missing = await fetch(`${url}/api/v2/revisions/000000000000/progress`, {
    headers: { authorization: `Bearer ${token}` },
  });
  assert.deepEqual([missing.status, ((await missing.json()) as { code: string }).code], [404, "REVISION_NOT_FOUND"]);
});

test("the sandboxes of a revision may use what is left of the month, and were counted for the rate once", async (t) => {
  const { client, runtime } = await open(t, { quotas: { cpuTimePerMonth: "1h", creationsPerMinute: 1 } });
  runApps(runtime);
  await client.apps.create({ slug: "my-app" });
  const { id } = await client.apps.deploy("my-app", { assets: MAIN, config: { install: "npm ci" } });
  assert.equal((await until(client, id)).status, "succeeded");
  const made = runtime.calls.filter(({ method }) => method === "create").map(({ args }) => args[0] as SandboxSpec);
  assert.deepEqual(
    made.map(({ budget }) => budget),
    [[{ kind: "cpu", ms: HOUR_MS }], [{ kind: "cpu", ms: HOUR_MS }]],
  );
});

test("a revision for which there is no room any more when it is to run fails, and says so", async (t) => {
  const { client, runtime } = await open(t, { quotas: { sandboxes: 1 } });
  runApps(runtime);
  await client.apps.create({ slug: "my-app" });
  runtime.programs.set("sh", () => {
    runtime.sandboxes.push(sandboxInfo());
    return 0;
  });
  const { id } = await client.apps.deploy("my-app", { assets: MAIN, config: { install: "npm ci" } });
  const { status } = await until(client, id);
  assert.equal(status, "failed");
  assert.match((await runtime.apps.revisions.get(id)).failure ?? "", /at most 1 sandboxes/);
});

test("a revision is cancelled on request, and kept or not", async (t) => {
  const { client, call, runtime } = await open(t);
  runApps(runtime);
  runtime.createGate = new Promise(() => undefined);
  await client.apps.create({ slug: "my-app" });
  const { id } = await client.apps.deploy("my-app", { assets: MAIN });
  const cancelled = await client.revisions.cancel(id);
  assert.ok(cancelled.cancellation_requested_at !== null);
  const revision = await until(client, id);
  assert.deepEqual([revision.status, revision.failure_reason], ["failed", "cancelled"]);
  const kept = await call("PATCH", `/api/v2/revisions/${id}`, { body: { retention: "indefinite" } });
  assert.equal((kept.body as { retention: string }).retention, "indefinite");
  await client.revisions.delete(id);
  assert.equal(await client.revisions.get(id), null);
});

test("logs of an app come in the order of time, page by page, from the least level up", async (t) => {
  const { client, runtime } = await open(t);
  runApps(runtime);
  await client.apps.create({ slug: "my-app" });
  const { id } = await client.apps.deploy("my-app", { assets: MAIN });
  await until(client, id);
  runtime.logLines = Array.from({ length: 25 }, (_, at) => ({
    ...{ time: 1_700_000_000_000 + Math.floor(at / 4), source: "process" as const, text: `line ${at}` },
    process: { pid: 1, stream: at % 5 === 0 ? ("stderr" as const) : ("stdout" as const) },
  }));
  const start = new Date(1_600_000_000_000).toISOString();
  const messages: string[] = [];
  for await (const { message } of await client.apps.logs("my-app", { start, limit: 3 })) messages.push(message);
  assert.deepEqual(
    messages,
    Array.from({ length: 25 }, (_, at) => `line ${at}`),
  );
  const errors = (await client.apps.logs("my-app", { start, level: "warn" })).items;
  assert.deepEqual(errors.map(({ message, level, revision_id: of }) => [message, level, of]).at(1), [
    "line 5",
    "error",
    id,
  ]);
  assert.equal((await client.apps.logs("my-app", { start, query: "LINE 2" })).items.length, 6);
  assert.deepEqual((await client.apps.logs("my-app", { start, revision_id: "other" })).items, []);
  await assert.rejects(client.apps.logs("my-app", { start: "yesterday" }), { status: 400 });
});

test("what an organisation has is bounded: apps, layers, bytes of assets, bodies", async (t) => {
  const { client, call } = await open(t, { quotas: { apps: 1, layers: 1, assets: "1kB" } });
  await client.apps.create({ slug: "my-app" });
  await client.layers.create({ slug: "base" });
  await assert.rejects(client.apps.create(), { status: 429, code: "QUOTA_EXCEEDED" });
  await assert.rejects(client.layers.create({ slug: "other" }), { status: 429, code: "QUOTA_EXCEEDED" });
  const large = { a: { content: "x".repeat(1001) } };
  await assert.rejects(client.apps.deploy("my-app", { assets: large }), { status: 429, code: "QUOTA_EXCEEDED" });
  const huge = await call("POST", "/api/v2/apps/my-app/deploy", {
    body: { assets: { a: { content: "x".repeat(3_000_000) } } },
  });
  assert.deepEqual([huge.status, (huge.body as { code: string }).code], [413, "BODY_TOO_LARGE"]);
  const odd = { assets: { a: { encoding: "base64", content: "not base64!" } } };
  assert.equal((await call("POST", "/api/v2/apps/my-app/deploy", { body: odd })).status, 400);
});

test("an organisation finds nothing of another's, by whatever name, and a token without the scope changes nothing", async (t) => {
  const { client, makeToken, call, runtime } = await open(t);
  runApps(runtime);
  const app = await client.apps.create({ slug: "my-app" });
  const layer = await client.layers.create({ slug: "base" });
  const { id } = await client.apps.deploy("my-app", { assets: MAIN });
  await until(client, id);
  const other = makeToken({ organisations: ["acme"] });
  for (const path of [
    `apps/${app.id}`,
    "apps/my-app",
    "apps/my-app/revisions",
    `revisions/${id}`,
    `revisions/${id}/progress`,
    `revisions/${id}/build_logs`,
    `revisions/${id}/timelines`,
    `layers/${layer.id}`,
    "layers/base/apps",
  ]) {
    assert.equal((await call("GET", `/api/v2/${path}`, { token: other })).status, 404, path);
  }
  for (const path of [`apps/${app.id}`, `revisions/${id}`, `layers/${layer.id}`]) {
    assert.equal((await call("DELETE", `/api/v2/${path}`, { token: other })).status, 404, path);
  }
  const reader = makeToken({ scopes: ["read", "sandboxes", "volumes"] });
  assert.equal((await call("GET", "/api/v2/apps/my-app", { token: reader })).status, 200);
  const deployer = makeToken({ scopes: ["read", "apps"] });
  runtime.sandboxes = [...runtime.sandboxes, sandboxInfo({ id: SANDBOX })];
  const fromSandbox = { token: deployer, body: { app: "my-app" } };
  assert.equal((await call("POST", `/api/v2/sandboxes/${SANDBOX}/deploy`, fromSandbox)).status, 403);
  assert.equal((await call("POST", "/api/v2/apps", { token: reader, body: {} })).status, 403);
  assert.equal((await call("POST", "/api/v2/apps/my-app/deploy", { token: reader, body: { assets: {} } })).status, 403);
});
