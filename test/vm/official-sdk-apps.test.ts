/** The npm package `@deno/sandbox`, unmodified, against `sbx serve`: apps, layers, deploying, revisions, timelines. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  Client,
  Sandbox,
  type App,
  type BuildLog,
  type DeployAsset,
  type DeployRevision,
  type Layer,
  type LayerRef,
  type Revision,
  type RevisionConfig,
  type RevisionProgress,
  type RevisionProgressCompletedStage,
  type RevisionProgressTimelineStage,
  type RuntimeConfig,
  type RuntimeLog,
} from "@deno/sandbox";
import { assertShape } from "../sdk/shape.ts";
import { SdkBench } from "./support/sdk-bench.ts";

const ASSETS = {
  "main.ts": {
    kind: "file",
    encoding: "utf-8",
    content:
      "import { word } from './lib/word.ts'; console.log('started'); console.log('and then'); Deno.serve(() => new Response(word + (Deno.env.get('WORD') ?? '')))",
  },
  "lib/word.ts": { encoding: "base64", content: Buffer.from("export const word = 'served ';").toString("base64") },
  "link.ts": { kind: "symlink", target: "main.ts" },
} satisfies Record<string, DeployAsset>;

describe("the official SDK: apps", { timeout: 300_000 }, () => {
  let bench: SdkBench;
  let client: Client;

  before(async () => {
    bench = await SdkBench.open(["--gateway-listen", "127.0.0.1:0"]);
    client = new Client();
  });

  after(async () => bench[Symbol.asyncDispose]());

  test("apps are made with a slug or a random one, found, changed, listed over pages and deleted", async () => {
    const app = await client.apps.create({ slug: "my-app-from-sdk", labels: { team: "a" } });
    assertShape<App>(app, {
      ...{ id: "string", slug: "string", labels: "object", env_vars: "array", config: "object", layers: "array" },
      ...{ created_at: "string", updated_at: "string" },
    });
    const random = await client.apps.create();
    assert.match(random.slug, /^[a-z][a-z0-9-]+$/);
    await assert.rejects(client.apps.create({ slug: "my-app-from-sdk" }), { status: 409, code: "SLUG_ALREADY_IN_USE" });
    assert.equal((await client.apps.get("my-app-from-sdk"))?.id, app.id);
    assert.equal((await client.apps.get(app.id))?.slug, "my-app-from-sdk");
    const updated = await client.apps.update(app.id, {
      ...{ slug: "my-cool-app", labels: { team: "b" } },
      config: {
        install: null,
        build: null,
        predeploy: null,
        crons: true,
        runtime: { type: "static", cwd: ".", spa: true },
      },
    });
    assert.deepEqual(
      [updated.slug, updated.labels, updated.created_at],
      ["my-cool-app", { team: "b" }, app.created_at],
    );
    assert.ok(updated.updated_at >= app.updated_at);
    const framed = await client.apps.update(app.id, { config: { framework: "fresh" } });
    assert.equal("framework" in framed.config && framed.config.framework, "fresh");
    const first = await client.apps.list({ limit: 1 });
    assert.deepEqual([first.items.length, first.hasMore], [1, true]);
    const slugs: string[] = [];
    for await (const { slug } of first) slugs.push(slug);
    assert.deepEqual(slugs.toSorted(), [random.slug, "my-cool-app"].toSorted());
    assert.deepEqual(
      (await client.apps.list({ labels: { team: "b" } })).items.map(({ id }) => id),
      [app.id],
    );
    assert.equal((await client.apps.list({ limit: 1, cursor: first.nextCursor ?? "" })).items.length, 1);
    for (const { id } of [app, random]) await client.apps.delete(id);
    assert.equal(await client.apps.get(app.id), null);
  });

  test("layers give apps variables, include others, are found by search and are deleted", async () => {
    const base = await client.layers.create({
      ...{ slug: "base-layer", description: "for all", layers: [] },
      env_vars: [{ key: "SHARED", value: "1", secret: false, contexts: "all" }],
    });
    assertShape<Layer>(base, {
      ...{ id: "string", slug: "string", description: "string", layers: "array", env_vars: "array" },
      ...{ app_count: "number", created_at: "string", updated_at: "string" },
    });
    const layer = await client.layers.create({ slug: "team-layer", layers: [base.slug] });
    assert.deepEqual(layer.layers, [{ id: base.id, slug: base.slug } satisfies LayerRef]);
    const app = await client.apps.create({
      ...{ slug: "layered", layers: [layer.id], config: { framework: "" } },
      env_vars: [{ key: "KEY", value: "secret value", secret: true, contexts: ["production"] }],
    });
    const [variable] = app.env_vars;
    assertShape(variable, { id: "string", key: "string", value: "undefined", secret: "boolean", contexts: "array" });
    const changed = await client.apps.update(app.id, {
      ...{ layers: [layer.slug, base.slug] },
      env_vars: [
        { id: variable.id, value: "another", secret: true, contexts: "all" },
        { key: "PLAIN", value: "plain" },
      ],
    });
    assert.deepEqual(
      changed.env_vars.map(({ key, value, contexts }) => [key, value, contexts]),
      [
        ["KEY", undefined, "all"],
        ["PLAIN", "plain", "all"],
      ],
    );
    const gone = await client.apps.update(app.id, { env_vars: [{ key: "PLAIN", delete: true }] });
    assert.deepEqual(
      gone.env_vars.map(({ key }) => key),
      ["KEY"],
    );
    const [using] = (await client.layers.apps(base.slug, { limit: 5 })).items;
    assertShape(using, { id: "string", slug: "string", layer_position: "number" });
    assert.deepEqual([using.slug, using.layer_position], ["layered", 1]);
    assert.deepEqual(
      (await client.apps.list({ layer: layer.slug })).items.map(({ slug }) => slug),
      ["layered"],
    );
    const renamed = await client.layers.update(layer.id, {
      ...{ slug: "group-layer", description: "renamed", layers: [], env_vars: [{ key: "SHARED", value: "2" }] },
    });
    assert.deepEqual([renamed.slug, renamed.description, renamed.layers], ["group-layer", "renamed", []]);
    const { items, nextCursor } = await client.layers.list({ search: "layer", limit: 1 });
    assert.equal(items.length, 1);
    assert.equal((await client.layers.list({ search: "layer", limit: 1, cursor: nextCursor ?? "" })).items.length, 1);
    assert.equal((await client.layers.get("group-layer"))?.app_count, 1);
    await client.apps.delete(app.id);
    for (const { id } of [layer, base]) await client.layers.delete(id);
    assert.equal(await client.layers.get(layer.id), null);
  });

  test("assets are deployed: the build's progress and log, the revision, its timelines, what it logs", async () => {
    const app = await client.apps.create({ slug: "from-assets" });
    const begun = new Date(Date.now() - 60_000).toISOString();
    const revision = await client.apps.deploy("from-assets", {
      ...{ assets: ASSETS, env_vars: [{ key: "WORD", value: "by word" }], labels: { "git.branch": "main" } },
      ...{ config: { install: null, build: null, runtime: { type: "dynamic", entrypoint: "main.ts", args: [] } } },
      ...{ layers: [], production: true, preview: false },
    });
    assertShape<DeployRevision>(revision, {
      ...{ id: "string", status: "string", failure_reason: "null", labels: "object", layers: "array" },
      ...{ env_vars: "array", config: "object", created_at: "string", cancellation_requested_at: "null" },
      ...{ build_finished_at: ["null", "string"], deleted_at: "null" },
    });
    const items: RevisionProgress[] = [];
    for await (const item of client.revisions.progress(revision.id)) items.push(item);
    const last = items.at(-1);
    assertShape(last, {
      queued: "object",
      preparing: "object",
      installing: "object",
      building: "object",
      deploying: "object",
    });
    assert.equal(last.deploying.status, "succeeded", JSON.stringify(last));
    const { start, end } = last.preparing as RevisionProgressCompletedStage;
    assert.ok(start <= end && last.building.command === null && last.installing.command === null);
    const [stage] = last.deploying.timelines;
    assertShape<Omit<RevisionProgressTimelineStage, "warmup">>(stage, {
      ...{ slug: "string", partition: "object", status: "string", database: "object", predeploy: "object" },
      routing: "object",
    });
    assert.deepEqual([stage.slug, stage.warmup?.status], ["production", "succeeded"]);
    assert.ok(items.every(({ queued }) => queued.status !== "running" || queued.start !== ""));
    const lines: BuildLog[] = [];
    for await (const line of client.revisions.buildLogs(revision.id)) lines.push(line);
    assert.ok(lines.length > 0);
    assertShape<Omit<BuildLog, "timeline">>(lines[0], {
      timestamp: "string",
      level: "string",
      message: "string",
      step: "string",
    });
    for await (const { step } of client.revisions.buildLogs(revision.id, { step: "deploying", timeline: "production" }))
      assert.equal(step, "deploying");
    const got = await client.revisions.get(revision.id);
    assertShape<Revision>(got, {
      ...{ id: "string", status: "string", failure_reason: "null", labels: "object", layers: "array" },
      ...{ env_vars: "array", config: "object", created_at: "string", cancellation_requested_at: "null" },
      ...{ build_finished_at: "string", deleted_at: "null" },
    });
    const { install, build, predeploy, crons, framework, runtime }: RevisionConfig = got.config;
    assert.deepEqual([install, build, predeploy, crons, framework], [null, null, undefined, true, undefined]);
    const { entrypoint, args } = runtime as RuntimeConfig & { type: "dynamic" };
    assert.deepEqual([got.status, entrypoint, args], ["succeeded", "main.ts", []]);
    assert.deepEqual(
      (await client.revisions.list(app.id, { status: "succeeded", limit: 5 })).items.map(({ id }) => id),
      [revision.id],
    );
    const [timeline] = await client.revisions.timelines(revision.id);
    assertShape(timeline, { slug: "string", partition: "object", app: "object", context: "object", domains: "array" });
    assert.deepEqual([timeline.slug, timeline.app.slug, timeline.app.id], ["production", "from-assets", app.id]);
    assert.equal((await client.timelines.list("from-assets", { limit: 5 })).items[0]?.slug, "production");
    const [{ domain } = { domain: "" }] = timeline.domains;
    const { stdout, stderr } = await bench.program(`console.log(await (await fetch("https://${domain}/")).text())`);
    assert.equal(stdout, "served by word\n", stderr);
    const wanted = { start: begun, end: new Date().toISOString(), revision_id: revision.id };
    const logs = await client.apps.logs("from-assets", { ...wanted, query: "STARTED", level: "info", limit: 10 });
    const [line] = logs.items;
    assertShape<RuntimeLog>(line, {
      ...{ timestamp: "string", level: "string", message: "string", revision_id: "string", region: "string" },
      ...{ trace_id: "undefined", span_id: "undefined" },
    });
    assert.deepEqual([line.message, line.level, line.revision_id], ["started", "info", revision.id]);
    const page = await client.apps.logs(app.id, { start: begun, end: wanted.end, limit: 1 });
    const next = await client.apps.logs(app.id, {
      start: begun,
      end: wanted.end,
      limit: 1,
      cursor: page.nextCursor ?? "",
    });
    assert.notEqual(next.items[0]?.message, page.items[0]?.message);
    await client.apps.delete(app.id);
  });

  test("a sandbox's directory is deployed, and done is the revision with its timelines", async () => {
    const app = await client.apps.create({ slug: "my-deno-app" });
    await using sandbox = await Sandbox.create({ allowNet: [] });
    await sandbox.fs.mkdir("my-app");
    await sandbox.fs.writeTextFile(
      "my-app/main.ts",
      "Deno.serve(() => new Response('Hi from sandbox.deploy() ' + Deno.args))",
    );
    const build = await sandbox.deploy(app.slug, {
      ...{ path: "my-app", production: true, preview: false },
      build: { mode: "none", entrypoint: "main.ts", args: ["start"] },
    });
    const messages: string[] = [];
    for await (const { message, timestamp } of build.logs()) messages.push(`${timestamp} ${message}`);
    assert.ok(messages.length > 0);
    const done = await build.done;
    assert.deepEqual([done.id, done.status], [build.id, "succeeded"]);
    assert.ok("timelines" in done);
    await assert.rejects(sandbox.deno.deploy("no-such-app"), {
      name: "DeployError",
      message: /Failed to create deployment job/,
    });
    const local = await sandbox.deno.deploy(app.slug, {
      ...{ path: "my-app", production: false, preview: true },
      build: {
        ...{
          mode: "local",
          frameworkPreset: "",
          installCommand: "echo installed",
          buildCommand: "mkdir out && cp main.ts out",
        },
        ...{ buildDirectory: "out", entrypoint: "main.ts" },
      },
    });
    assert.equal((await local.done).status, "succeeded");
    const runtime = { type: "static" as const, cwd: ".", spa: true };
    await assert.rejects(client.apps.deploy(app.id, { assets: ASSETS, config: { framework: "fresh", runtime } }), {
      ...{ status: 400, code: "INVALID_REQUEST" },
    });
    const cancelled = await client.apps.deploy(app.id, {
      assets: ASSETS,
      config: {
        ...{ install: null, build: "sleep 60", predeploy: null, crons: false },
        runtime: { type: "static", cwd: ".", spa: true },
      },
    });
    const { cancellation_requested_at } = await client.revisions.cancel(cancelled.id);
    assert.equal(typeof cancellation_requested_at, "string");
    for await (const _ of client.revisions.progress(cancelled.id));
    assert.deepEqual([(await client.revisions.get(cancelled.id))?.failure_reason], ["cancelled"]);
    await client.revisions.delete(local.id);
    await client.apps.delete(app.id);
  });
});
