/** Apps and layers as an organisation has them: slugs, labels, variables, secrets, who refers to whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_VARIABLES } from "../../../src/protocol/app-values.ts";
import type { EnvVariable } from "../../../src/runtime/apps.ts";
import { FakeRuntime } from "../../fake-runtime.ts";

const open = (): FakeRuntime["apps"] => new FakeRuntime().apps;
const brief = (env: readonly EnvVariable[]): unknown[] => env.map(({ key, value, contexts }) => [key, value, contexts]);

test("an app has the slug that was asked for, or one of its own that nobody has", async () => {
  const apps = open();
  assert.equal((await apps.create({ slug: "shop" })).slug, "shop");
  const slugs = await Promise.all(Array.from({ length: 30 }, async () => (await apps.create({})).slug));
  assert.equal(new Set(slugs).size, 30);
  for (const slug of slugs) assert.match(slug, /^[a-z]+-[a-z]+-\d{4}$/);
  await assert.rejects(apps.create({ slug: "shop" }), { code: "name_in_use" });
});

test("what cannot be the first label of a host name is no slug, and neither is what looks like an id", async () => {
  const apps = open();
  for (const slug of ["", "Shop", "1shop", "shop-", "-shop", "a.b", "a b", "a".repeat(51), crypto.randomUUID()]) {
    await assert.rejects(apps.create({ slug }), { code: "usage" }, slug);
  }
  assert.equal((await apps.create({ slug: "a".repeat(50) })).slug.length, 50);
});

test("an app is found by its whole id or slug; the beginning of either is nobody's", async () => {
  const apps = open();
  const { id } = await apps.create({ slug: "shop" });
  assert.equal((await apps.get("shop")).id, id);
  assert.equal((await apps.get(id)).slug, "shop");
  for (const ref of ["sho", id.slice(0, 8), "", "Shop"]) {
    await assert.rejects(apps.get(ref), { code: "app_not_found" }, ref);
  }
});

test("a change replaces labels, config and layers as wholes, leaves the rest, and moves updatedAt alone", async () => {
  const runtime = new FakeRuntime();
  const { apps } = runtime;
  await apps.layers.create({ slug: "base" });
  const made = await apps.create({ slug: "shop", labels: { a: "1", b: "2" }, config: { install: "npm ci" } });
  runtime.now += 1000;
  const renamed = await apps.update("shop", { slug: "store" });
  assert.deepEqual({ ...renamed, slug: "shop", updatedAt: made.updatedAt }, made);
  assert.equal(renamed.updatedAt, made.updatedAt + 1000);
  const changed = await apps.update(made.id, { labels: { c: "3" }, config: { build: null }, layers: ["base"] });
  assert.deepEqual(changed.labels, { c: "3" });
  assert.deepEqual(changed.config, { build: null });
  assert.deepEqual(
    changed.layers.map(({ slug }) => slug),
    ["base"],
  );
  await assert.rejects(apps.get("shop"), { code: "app_not_found" });
});

test("five labels are the most, and their keys and values have limits in bytes", async () => {
  const apps = open();
  const six = Object.fromEntries(Array.from({ length: 6 }, (_, at) => [`k${at}`, "v"]));
  for (const labels of [six, { ["k".repeat(65)]: "v" }, { k: "é".repeat(65) }, { "": "v" }]) {
    await assert.rejects(apps.create({ labels }), { code: "usage" });
  }
  await apps.create({ labels: { ["k".repeat(64)]: "v".repeat(128) } });
  assert.equal((await apps.list()).length, 1);
});

test("apps are listed by their latest change, and selected by labels and by layer", async () => {
  const runtime = new FakeRuntime();
  const { apps } = runtime;
  const layer = await apps.layers.create({ slug: "base" });
  for (const slug of ["one", "two", "three"]) {
    runtime.now++;
    await apps.create({ slug, labels: { odd: String(slug !== "two") }, layers: slug === "one" ? ["base"] : [] });
  }
  runtime.now++;
  await apps.update("one", { labels: { odd: "true" } });
  const slugs = async (options?: Parameters<typeof apps.list>[0]): Promise<string[]> =>
    (await apps.list(options)).map(({ slug }) => slug);
  assert.deepEqual(await slugs(), ["one", "three", "two"]);
  assert.deepEqual(await slugs({ labels: { odd: "true" } }), ["one", "three"]);
  assert.deepEqual(await slugs({ labels: { __proto__: "x" } }), ["one", "three", "two"]);
  assert.deepEqual(await slugs({ layer: "base" }), ["one"]);
  assert.deepEqual(await slugs({ layer: layer.id }), ["one"]);
  assert.deepEqual(await slugs({ layer: "none" }), []);
});

test("variables are merged by id, else by key; what is not named stays", async () => {
  const apps = open();
  const { env } = await apps.create({
    slug: "shop",
    env: [
      { key: "A", value: "1" },
      { key: "B", value: "2" },
    ],
  });
  const { env: merged } = await apps.update("shop", {
    env: [
      { id: env[0]?.id ?? "", key: "RENAMED", contexts: ["production"] },
      { key: "B", value: "3" },
      { key: "C", value: "4", contexts: ["Build"] },
    ],
  });
  assert.deepEqual(brief(merged), [
    ["RENAMED", "1", ["production"]],
    ["B", "3", "all"],
    ["C", "4", ["Build"]],
  ]);
  assert.deepEqual(
    merged.slice(0, 2).map(({ id }) => id),
    env.map(({ id }) => id),
  );
  const { env: left } = await apps.update("shop", {
    env: [
      { key: "B", remove: true },
      { key: "GONE", remove: true },
    ],
  });
  assert.deepEqual(
    left.map(({ key }) => key),
    ["RENAMED", "C"],
  );
  for (const change of [{ id: "nobody", value: "x" }, { key: "NEW" }, { value: "x" }]) {
    await assert.rejects(apps.update("shop", { env: [change] }), { code: "usage" }, JSON.stringify(change));
  }
});

test("one key may be there once in a context, and is then named by its contexts or its id", async () => {
  const apps = open();
  await apps.create({
    slug: "shop",
    env: [
      { key: "URL", value: "p", contexts: ["production"] },
      { key: "URL", value: "d", contexts: ["development"] },
    ],
  });
  await assert.rejects(apps.update("shop", { env: [{ key: "URL", value: "x" }] }), { code: "usage" });
  const { env } = await apps.update("shop", { env: [{ key: "URL", value: "x", contexts: ["development"] }] });
  assert.deepEqual(brief(env), [
    ["URL", "p", ["production"]],
    ["URL", "x", ["development"]],
  ]);
  for (const contexts of ["all", ["Production"]] as const) {
    const twice = [
      { key: "A", value: "1", contexts: ["production"] },
      { key: "A", value: "2", contexts },
    ] as const;
    await assert.rejects(apps.create({ env: twice.map((one) => ({ ...one, contexts: toContexts(one.contexts) })) }), {
      code: "usage",
    });
  }
});

function toContexts(contexts: "all" | readonly string[]): "all" | string[] {
  return contexts === "all" ? "all" : [...contexts];
}

test("the value of a secret is given to nobody, and stays a secret until it has another value", async () => {
  const runtime = new FakeRuntime();
  const { apps } = runtime;
  const made = await apps.create({ slug: "shop", env: [{ key: "KEY", value: "canary-1", isSecret: true }] });
  const changed = await apps.update("shop", { env: [{ key: "KEY", contexts: ["production"] }] });
  const other = await apps.update("shop", { env: [{ key: "KEY", value: "canary-2" }] });
  for (const { env } of [made, changed, other, await apps.get("shop"), ...(await apps.list())]) {
    assert.ok(!JSON.stringify(env).includes("canary"));
    assert.deepEqual(
      env.map(({ value, isSecret }) => [value, isSecret]),
      [[null, true]],
    );
  }
  await assert.rejects(apps.update("shop", { env: [{ key: "KEY", isSecret: false }] }), { code: "usage" });
  const plain = await apps.update("shop", { env: [{ key: "KEY", isSecret: false, value: "open" }] });
  assert.deepEqual(
    plain.env.map(({ value, isSecret }) => [value, isSecret]),
    [["open", false]],
  );
  const closed = await apps.update("shop", { env: [{ key: "KEY", isSecret: true }] });
  assert.deepEqual(
    closed.env.map(({ value, isSecret }) => [value, isSecret]),
    [[null, true]],
  );
});

test("keys of the runtime's own, and values that a process cannot have, are refused", async () => {
  const apps = open();
  for (const key of ["", "1A", "A-B", "DENO_DIR", "LD_PRELOAD", "OTEL_X", "A".repeat(129), "A=B"]) {
    await assert.rejects(apps.create({ env: [{ key, value: "x" }] }), { code: "usage" }, key);
  }
  for (const value of ["a\0b", "x".repeat(16_385)]) {
    await assert.rejects(apps.create({ env: [{ key: "A", value }] }), { code: "usage" });
  }
  await apps.create({ env: [{ key: "DENO_AUTH_TOKENS", value: "x".repeat(16_384) }] });
  const many = Array.from({ length: MAX_VARIABLES + 1 }, (_, at) => ({ key: `A${at}`, value: "" }));
  await assert.rejects(apps.create({ env: many }), { code: "usage" });
});

test("a framework and a runtime exclude each other", async () => {
  const apps = open();
  const runtime = { type: "dynamic", entrypoint: "main.ts" } as const;
  await assert.rejects(apps.create({ config: { framework: "nextjs", runtime } }), { code: "usage" });
  const { config } = await apps.create({ config: { framework: "", runtime } });
  assert.deepEqual(config, { framework: "", runtime });
});

test("a layer knows its apps with their places, and cannot be removed while anything refers to it", async () => {
  const { layers, ...apps } = bound(open());
  const base = await layers.create({ slug: "base", description: "for all", env: [{ key: "A", value: "1" }] });
  await layers.create({ slug: "other" });
  await layers.create({ slug: "whole", layers: ["base"] });
  await apps.create({ slug: "shop", layers: ["other", base.id] });
  assert.equal((await layers.get("base")).appCount, 1);
  assert.deepEqual(
    (await layers.users("base")).map(({ slug, position }) => [slug, position]),
    [["shop", 1]],
  );
  await assert.rejects(layers.remove("base"), { code: "layer_in_use", message: /shop, whole/ });
  await apps.update("shop", { layers: [] });
  await layers.update("whole", { layers: [] });
  await layers.remove("base");
  await assert.rejects(layers.get("base"), { code: "layer_not_found" });
  assert.deepEqual(
    (await layers.list({ search: "OTH" })).map(({ slug }) => slug),
    ["other"],
  );
});

function bound({ layers, create, update }: FakeRuntime["apps"]) {
  return { layers, create, update };
}

test("layers do not include themselves, by whatever way, nor one twice", async () => {
  const { layers } = open();
  await layers.create({ slug: "a" });
  await layers.create({ slug: "b", layers: ["a"] });
  await layers.create({ slug: "c", layers: ["b"] });
  for (const name of ["a", "b", "c"]) await assert.rejects(layers.update("a", { layers: [name] }), { code: "usage" });
  await assert.rejects(layers.create({ slug: "d", layers: ["a", "a"] }), { code: "usage" });
  await assert.rejects(layers.create({ slug: "d", layers: ["none"] }), { code: "layer_not_found" });
  await assert.rejects(layers.create({ slug: "a" }), { code: "name_in_use" });
});

test("an app that is removed leaves its slug and its layers free", async () => {
  const apps = open();
  await apps.layers.create({ slug: "base" });
  await apps.create({ slug: "shop", layers: ["base"] });
  await apps.remove("shop");
  await assert.rejects(apps.get("shop"), { code: "app_not_found" });
  await apps.layers.remove("base");
  await apps.create({ slug: "shop" });
});
