/** How an app's instances are kept: what was said of it goes before the default, from then on. */
import assert from "node:assert/strict";
import { mock, test, type TestContext } from "node:test";
import type { Duplex } from "node:stream";
import type { InstanceSettings } from "../../../src/runtime/apps.ts";
import { FakeRuntime } from "../../fake-runtime.ts";
import { runApps } from "./fake-program.ts";

const ASSETS = new Map([["main.ts", { kind: "file" as const, content: Buffer.from("Deno.serve(() => 1)") }]]);

async function deployed(instances: Partial<InstanceSettings>): Promise<FakeRuntime> {
  const runtime = new FakeRuntime();
  runtime.apps.limits = { waitMs: 20, restMs: 1 };
  runApps(runtime);
  await runtime.apps.create({ slug: "shop", instances });
  const spec = { source: { kind: "assets" as const, assets: ASSETS }, production: true, preview: false };
  const { id } = await runtime.apps.deploy("shop", spec);
  for await (const progress of runtime.apps.revisions.progress(id)) assert.ok(progress.queued);
  return runtime;
}

async function open({ apps }: FakeRuntime): Promise<Duplex> {
  return (await apps.openHttp({ app: "shop" })).stream;
}

function running(runtime: FakeRuntime): number {
  return runtime.sandboxes.filter(({ status }) => status === "running").length;
}

test("the most instances and their requests are those of the app, and a change goes for those that run", async () => {
  const runtime = await deployed({ concurrency: 1, instances: 2 });
  const streams = [await open(runtime), await open(runtime)];
  assert.equal(running(runtime), 2);
  await assert.rejects(open(runtime), { code: "insufficient_resources" });
  await runtime.apps.update("shop", { instances: { concurrency: 2 } });
  streams.push(await open(runtime), await open(runtime));
  assert.equal(running(runtime), 2);
  await assert.rejects(open(runtime), { code: "insufficient_resources" });
  for (const stream of streams) stream.destroy();
});

test("one lives as long beyond its last request as the app says", async () => {
  const runtime = await deployed({ idleMs: 3_600_000 });
  (await open(runtime)).destroy();
  const [instance] = runtime.sandboxes;
  assert.equal(instance?.expiresAt, runtime.now + 3_600_000);
});

test("one that is to rest sooner than its machine would end by itself is ended, unless it is asked for again", async (t: TestContext) => {
  const runtime = await deployed({ idleMs: 10_000 });
  const first = await open(runtime);
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  const closed = new Promise((resolve) => first.once("close", resolve));
  first.destroy();
  await closed;
  mock.timers.tick(9000);
  const second = await open(runtime);
  mock.timers.tick(60_000);
  assert.equal(running(runtime), 1);
  const over = new Promise((resolve) => second.once("close", resolve));
  second.destroy();
  await over;
  mock.timers.tick(10_000);
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(running(runtime), 0);
});

test("what is out of bounds is a usage error, and changes nothing", async () => {
  const { apps } = await deployed({ instances: 2 });
  for (const instances of [
    { idleMs: 9999 },
    { idleMs: 86_400_001 },
    { concurrency: 0 },
    { concurrency: 1001 },
    { instances: 0 },
    { instances: 21 },
    { instances: 1.5 },
  ]) {
    await assert.rejects(apps.update("shop", { instances }), { code: "usage" }, JSON.stringify(instances));
  }
  assert.deepEqual((await apps.get("shop")).instances, { idleMs: 300_000, concurrency: 50, instances: 2 });
});
