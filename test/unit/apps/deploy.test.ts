/** Deploying: what becomes of a revision, step by step, and what it runs as. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeployAsset, DeploySpec, Progress, RevisionInfo } from "../../../src/runtime/apps.ts";
import type { SandboxSpec } from "../../../src/runtime/types.ts";
import { FakeRuntime, networkView, sandboxInfo } from "../../fake-runtime.ts";
import { runApps } from "./fake-program.ts";

const SANDBOX = "sbx_loc_0123456789abcdefghjk";

function assets(files: Record<string, string>): DeploySpec["source"] {
  const entries = Object.entries(files).map(([name, text]): [string, DeployAsset] => [
    name,
    { kind: "file", content: Buffer.from(text) },
  ]);
  return { kind: "assets", assets: new Map(entries) };
}

const MAIN = assets({ "main.ts": "Deno.serve(() => new Response('hi'))" });
const PRODUCTION: DeploySpec = { source: MAIN, production: true, preview: false };

async function over({ apps }: FakeRuntime, { id }: RevisionInfo): Promise<RevisionInfo> {
  for (;;) {
    const revision = await apps.revisions.get(id);
    if (revision.finishedAt !== null) return revision;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

async function logOf({ apps }: FakeRuntime, id: string): Promise<string[]> {
  return (await collect(apps.revisions.buildLogs(id))).map(({ step, level, message }) => `${step} ${level} ${message}`);
}

test("assets are built, run until they answer, and only then production", async () => {
  const runtime = new FakeRuntime();
  const guest = runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const queued = await runtime.apps.deploy("shop", PRODUCTION);
  assert.match(queued.id, /^[0-9a-hjkmnp-z]{12}$/);
  assert.deepEqual([queued.status, queued.content], ["queued", null]);
  assert.deepEqual(await runtime.apps.timelines("shop"), []);
  const seen: Progress[] = await collect(runtime.apps.revisions.progress(queued.id));
  const last = seen.at(-1);
  assert.deepEqual(
    [last?.queued, last?.preparing, last?.installing, last?.building, last?.deploying].map((stage) => stage?.status),
    ["succeeded", "succeeded", "skipped", "skipped", "succeeded"],
  );
  const revision = await runtime.apps.revisions.get(queued.id);
  assert.equal(revision.status, "succeeded");
  assert.match(revision.content?.sha256 ?? "", /^[0-9a-f]{64}$/);
  assert.ok(guest.requests > 0 && guest.unpacked[0]?.includes("Deno.serve"));
  assert.deepEqual(
    (await runtime.apps.timelines("shop")).map(({ slug, context, revision: id }) => [slug, context, id]),
    [["production", "production", queued.id]],
  );
});

test("the same assets are kept once, whatever their order, and go with their last revision", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const none = { production: false, preview: false };
  const one = await over(runtime, await runtime.apps.deploy("shop", { source: assets({ a: "1", b: "2" }), ...none }));
  const two = await over(runtime, await runtime.apps.deploy("shop", { source: assets({ b: "2", a: "1" }), ...none }));
  const other = await over(runtime, await runtime.apps.deploy("shop", { source: assets({ b: "1", a: "2" }), ...none }));
  assert.equal(one.content?.sha256, two.content?.sha256);
  assert.notEqual(one.content?.sha256, other.content?.sha256);
  await runtime.apps.revisions.remove(one.id);
  assert.equal((await runtime.apps.revisions.get(two.id)).content?.sha256, two.content?.sha256);
  await runtime.apps.revisions.remove(two.id);
  await assert.rejects(runtime.apps.revisions.get(two.id), { code: "revision_not_found" });
});

test("a program that does not answer takes no traffic, and the revision says why", async () => {
  const runtime = new FakeRuntime();
  const guest = runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const good = await over(runtime, await runtime.apps.deploy("shop", PRODUCTION));
  guest.isHealthy = false;
  runtime.logLines = [{ time: 1, source: "process", text: "TypeError: no", process: { pid: 1, stream: "stderr" } }];
  const bad = await over(runtime, await runtime.apps.deploy("shop", PRODUCTION));
  assert.deepEqual([bad.status, bad.failureReason], ["failed", "error"]);
  assert.equal(bad.failure, "the program ended before it answered a request: TypeError: no");
  assert.equal((await runtime.apps.timelines("shop"))[0]?.revision, good.id);
  assert.deepEqual((await logOf(runtime, bad.id)).at(-1), `deploying error ${bad.failure}`);
  const left = runtime.sandboxes.filter(
    ({ labels, status }) => labels["sbx.revision"] === bad.id && status === "running",
  );
  assert.deepEqual(left, []);
});

test("an instance has the variables of its context: the revision's before the app's before those of layers", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  const { apps } = runtime;
  await apps.layers.create({
    slug: "low",
    env: [
      { key: "A", value: "low" },
      { key: "B", value: "low" },
    ],
  });
  await apps.layers.create({
    slug: "base",
    layers: ["low"],
    env: [
      { key: "B", value: "base" },
      { key: "C", value: "base" },
    ],
  });
  await apps.create({
    ...{ slug: "shop", layers: ["base"] },
    env: [
      { key: "C", value: "app" },
      { key: "KEY", value: "canary", isSecret: true, contexts: ["production"] },
      { key: "URL", value: "dev", contexts: ["Development"] },
      { key: "D", value: "app" },
    ],
  });
  const spec = { ...PRODUCTION, preview: true, env: [{ key: "D", value: "revision" }] };
  const revision = await over(runtime, await apps.deploy("shop", spec));
  assert.equal(revision.status, "succeeded");
  const starts = runtime.calls.filter(({ method, args }) => method === "start" && "env" in (args[0] as object));
  const [production, development] = starts.map(({ args }) => (args[0] as { env: Record<string, string> }).env);
  const own = { A: "low", B: "base", C: "app", D: "revision" };
  const { PORT, DENO_SERVE_ADDRESS, DENO_DEPLOYMENT_ID, ...rest } = production ?? {};
  assert.deepEqual([PORT, DENO_SERVE_ADDRESS, DENO_DEPLOYMENT_ID], ["8000", "tcp:127.0.0.1:8000", revision.id]);
  const isOwn = ([key]: [string, string]): boolean => !key.startsWith("DENO_");
  assert.deepEqual(Object.fromEntries(Object.entries(rest).filter(isOwn)), { ...own, KEY: "canary" });
  assert.deepEqual([development?.["KEY"], development?.["URL"], development?.["D"]], [undefined, "dev", "revision"]);
  assert.deepEqual(
    (await apps.revisions.timelines(revision.id)).map(({ slug }) => slug),
    [`preview/${revision.id}`, "production"],
  );
  for (const text of [JSON.stringify(revision), (await logOf(runtime, revision.id)).join()])
    assert.ok(!text.includes("canary"));
});

test("commands of a build run in the sandbox that is deployed, where it is, and what they fail with is logged", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime, { archive: "built" });
  runtime.sandboxes = [sandboxInfo()];
  runtime.programs.set("sh", ({ spec, stdout, stderr }) => {
    stdout.write(`${spec.cwd} ${spec.env?.["MODE"]}\nhalf`);
    if (spec.argv[2] !== "fail") return 0;
    stderr.write("no such thing\n");
    return 3;
  });
  await runtime.apps.create({ slug: "shop", env: [{ key: "MODE", value: "b", contexts: ["build"] }] });
  const source = { kind: "sandbox" as const, sandbox: SANDBOX, path: "/home/app/site" };
  const config = { install: "npm ci", build: "fail" };
  const failed = await over(
    runtime,
    await runtime.apps.deploy("shop", { source, config, production: true, preview: false }),
  );
  assert.deepEqual([failed.status, failed.failure], ["failed", 'the command "fail" ended with status 3']);
  const log = await logOf(runtime, failed.id);
  assert.ok(
    log.includes("installing info $ npm ci") && log.includes("installing info /home/app/site b"),
    log.join("\n"),
  );
  assert.ok(log.includes("building info no such thing") && log.includes("building info half"));
  const only = await collect(runtime.apps.revisions.buildLogs(failed.id, { step: "installing" }));
  assert.ok(only.length > 0 && only.every(({ step }) => step === "installing"));
  const built = { source, config: { build: "make" }, production: true, preview: false };
  const done = await over(runtime, await runtime.apps.deploy("shop", built));
  assert.deepEqual([done.status, done.content?.bytes], ["succeeded", 5]);
  assert.equal(runtime.sandboxes.find(({ id }) => id === SANDBOX)?.status, "running");
});

test("assets with commands are built in a sandbox of their own, which is gone afterwards", async () => {
  const runtime = new FakeRuntime();
  const guest = runApps(runtime, { archive: "built" });
  runtime.programs.set("sh", () => 0);
  await runtime.apps.create({ slug: "shop", config: { build: "make" } });
  const revision = await over(runtime, await runtime.apps.deploy("shop", { ...PRODUCTION, production: false }));
  assert.deepEqual([revision.status, revision.content?.bytes, guest.unpacked.length], ["succeeded", 5, 1]);
  assert.deepEqual(
    runtime.sandboxes.map(({ labels, status }) => [labels["sbx.build"], status]),
    [[revision.id, "stopped"]],
  );
});

test("the network of a sandbox and its stored secrets go with its revisions, and what cannot go refuses them", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  runtime.sandboxes = [sandboxInfo()];
  const row = { verdict: "allow", kind: "host", source: { kind: "api" }, warning: null } as const;
  const secret = { hosts: [], placeholder: "x", hasValue: true };
  runtime.view = networkView({
    rules: [{ ...row, id: "r1", text: "api.example.com:443" }],
    secrets: [
      { ...secret, name: "EXAMPLE_KEY" },
      { ...secret, name: "GONE" },
    ],
  });
  runtime.secretList = [{ ...(await storedSecret()), name: "EXAMPLE_KEY" }];
  await runtime.apps.create({ slug: "shop" });
  const spec = { ...PRODUCTION, source: { kind: "sandbox" as const, sandbox: SANDBOX, path: "/home/app" } };
  const carried = await over(runtime, await runtime.apps.deploy("shop", spec));
  assert.equal(carried.status, "succeeded");
  assert.match((await logOf(runtime, carried.id)).join("\n"), /the secret GONE was given with the sandbox alone/);
  const created = runtime.calls.find(({ method }) => method === "create")?.args[0] as SandboxSpec;
  assert.deepEqual(
    [created.network?.policy.mode, created.network?.policy.rules.map(({ host }) => host), created.network?.secrets],
    ["none", ["api.example.com"], [{ name: "EXAMPLE_KEY", hosts: null }]],
  );
  runtime.view = networkView({ rules: [{ ...row, id: "r1", text: "api.example.com GET /v1/**" }] });
  await assert.rejects(runtime.apps.deploy("shop", spec), { code: "unsupported" });
  runtime.view = networkView({ hook: { path: "/h.ts", state: "running", detail: null } });
  await assert.rejects(runtime.apps.deploy("shop", spec), { code: "unsupported" });
});

async function storedSecret() {
  const { secretInfo } = await import("../../fake-runtime.ts");
  return secretInfo();
}

test("a build that is given up is cancelled, at whatever step, and a finished one stays as it is", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  runtime.createGate = new Promise(() => undefined);
  await runtime.apps.create({ slug: "shop" });
  const { id } = await runtime.apps.deploy("shop", PRODUCTION);
  const asked = await runtime.apps.revisions.cancel(id);
  assert.ok(asked.cancelRequestedAt !== null);
  const revision = await over(runtime, asked);
  assert.deepEqual([revision.status, revision.failureReason], ["failed", "cancelled"]);
  const [last] = (await collect(runtime.apps.revisions.progress(id))).slice(-1);
  assert.deepEqual([last?.deploying.status, last?.timelines[0]?.routing.status], ["cancelled", "skipped"]);
  runtime.createGate = Promise.resolve();
  const done = await over(runtime, await runtime.apps.deploy("shop", PRODUCTION));
  assert.deepEqual(await runtime.apps.revisions.cancel(done.id), done);
});

test("a revision that production runs cannot be removed, one that it ran can", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const one = await over(runtime, await runtime.apps.deploy("shop", PRODUCTION));
  await assert.rejects(runtime.apps.revisions.remove(one.id), { code: "revision_in_use" });
  await over(runtime, await runtime.apps.deploy("shop", PRODUCTION));
  await runtime.apps.revisions.remove(one.id);
  await runtime.apps.remove("shop");
  assert.deepEqual(
    runtime.sandboxes.filter(({ status }) => status === "running"),
    [],
  );
});

test("of more revisions than there may be the oldest goes that is active nowhere and not to be kept", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const ids: string[] = [];
  for (let at = 0; at < 103; at++) {
    runtime.now++;
    const spec = { ...PRODUCTION, production: at === 0, isKept: at === 1 };
    const { id } = await runtime.apps.deploy("shop", spec);
    await over(runtime, { id } as RevisionInfo);
    ids.push(id);
  }
  const left = new Set((await runtime.apps.revisions.list("shop")).map(({ id }) => id));
  assert.equal(left.size, 100);
  assert.deepEqual(
    ids.slice(0, 6).map((id) => left.has(id)),
    [true, true, false, false, false, true],
  );
});

test("paths of assets stay below the app's directory, and exclude each other where one is above another", async () => {
  const runtime = new FakeRuntime();
  await runtime.apps.create({ slug: "shop" });
  const refused = ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "a\0b", "x".repeat(256)];
  for (const name of refused) {
    await assert.rejects(
      runtime.apps.deploy("shop", { ...PRODUCTION, source: assets({ [name]: "x" }) }),
      { code: "usage" },
      name,
    );
  }
  const above = new Map<string, DeployAsset>([
    ["a", { kind: "symlink", target: "/etc" }],
    ["a/b", { kind: "file", content: Buffer.from("x") }],
  ]);
  await assert.rejects(runtime.apps.deploy("shop", { ...PRODUCTION, source: { kind: "assets", assets: above } }), {
    code: "usage",
  });
  assert.deepEqual(await runtime.apps.revisions.list("shop"), []);
});

test("files that are too many bytes fail the revision", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const revision = await over(runtime, await runtime.apps.deploy("shop", { ...PRODUCTION, maxBytes: 1000 }));
  assert.deepEqual([revision.status, revision.failure], ["failed", "the files of a revision have at most 1000 bytes"]);
});
