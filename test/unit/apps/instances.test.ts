/** Instances: how many there are, who gets which, what goes on from its memory, and what is left alone. */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import type { RevisionVariable } from "../../../src/runtime/apps.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { FakeRuntime } from "../../fake-runtime.ts";
import { runApps } from "./fake-program.ts";

const SOURCE = {
  kind: "assets" as const,
  assets: new Map([
    ["main.ts", { kind: "file" as const, content: Buffer.from("Deno.serve(() => new Response('hi'))") }],
  ]),
};

/** An app that is deployed, of a runtime with small limits. */
async function deployed(limits: FakeRuntime["apps"]["limits"] = {}): Promise<{
  runtime: FakeRuntime;
  guest: ReturnType<typeof runApps>;
  deploy: (env?: RevisionVariable[]) => Promise<string>;
  open: () => Promise<Duplex>;
}> {
  const runtime = new FakeRuntime();
  runtime.apps.limits = { connections: 2, instances: 2, waitMs: 50, restMs: 1, drainMs: 50, ...limits };
  const guest = runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const deploy = async (env: RevisionVariable[] = []): Promise<string> => {
    const { id } = await runtime.apps.deploy("shop", { source: SOURCE, production: true, preview: false, env });
    for await (const progress of runtime.apps.revisions.progress(id)) assert.ok(progress.queued);
    return id;
  };
  const open = async (): Promise<Duplex> => runtime.apps.openHttp({ app: "shop" });
  await deploy();
  return { runtime, guest, deploy, open };
}

function running(runtime: FakeRuntime): string[] {
  return runtime.sandboxes.filter(({ status }) => status === "running").map(({ id }) => id);
}

function loseAll(runtime: FakeRuntime): void {
  for (const info of runtime.sandboxes) if (info.status === "running") runtime.stop(info, "expired");
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
}

test("however many ask at once for one that does not run, one is started and all are answered", async () => {
  const { runtime, open } = await deployed({ connections: 50 });
  loseAll(runtime);
  const before = runtime.calls.filter(({ method }) => method === "create").length;
  const all = await Promise.all(Array.from({ length: 50 }, open));
  assert.equal(all.length, 50);
  assert.equal(runtime.calls.filter(({ method }) => method === "create").length, before + 1);
});

test("where all are busy another one is started, up to the limit; what is beyond waits, and is told that they are busy", async () => {
  const { runtime, open } = await deployed();
  const first = [await open(), await open()];
  assert.equal(running(runtime).length, 1);
  const more = [await open(), await open()];
  assert.equal(running(runtime).length, 2);
  await assert.rejects(open(), { code: "insufficient_resources", message: "all instances of the app are busy" });
  assert.equal(running(runtime).length, 2);
  const waiting = open();
  first[0]?.destroy();
  await waiting;
  for (const one of more) one.destroy();
});

test("one more that cannot be started fails nobody: who asks waits for those that run", async () => {
  const { runtime, open } = await deployed({ waitMs: 5000 });
  const [first] = [await open(), await open()];
  runtime.failures.set("create", new SbxError("insufficient_resources", "no room"));
  const waiting = open();
  await until(() => !runtime.failures.has("create"));
  first.destroy();
  await waiting;
  assert.equal(running(runtime).length, 1);
});

test("when nothing is under way the memory is kept, once, and the next start goes on from it", async () => {
  const { runtime, open } = await deployed();
  const { warm } = runtime.apps;
  (await open()).destroy();
  await until(() => warm.kept.length === 1);
  loseAll(runtime);
  const unpacked = runtime.calls.filter(({ method }) => method === "exec").length;
  const connection = await open();
  assert.equal(warm.woken.length, 1);
  assert.equal(runtime.calls.filter(({ method }) => method === "exec").length, unpacked);
  connection.destroy();
});

test("a memory that does not start is forgotten, and one that was made with other variables is not used", async () => {
  const { runtime, guest, open } = await deployed();
  const { warm } = runtime.apps;
  (await open()).destroy();
  await until(() => warm.kept.length === 1);
  loseAll(runtime);
  warm.failure = new Error("damaged");
  (await open()).destroy();
  assert.equal(guest.unpacked.length, 2);
  await until(() => warm.kept.length === 1);
  for (const { key } of warm.kept) key.fit = "other";
  loseAll(runtime);
  (await open()).destroy();
  assert.equal(guest.unpacked.length, 3);
  assert.deepEqual(warm.woken, []);
});

test("the memory of a program with a secret variable is never kept, and others go with their revision", async () => {
  const { runtime, deploy, open } = await deployed();
  const { warm } = runtime.apps;
  (await open()).destroy();
  await until(() => warm.kept.length === 1);
  const first = warm.kept[0]?.key.revision ?? "";
  await runtime.apps.update("shop", { env: [{ key: "KEY", value: "canary", isSecret: true }] });
  const second = await deploy();
  (await open()).destroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(
    warm.kept.filter(({ key }) => key.revision === second),
    [],
  );
  await runtime.apps.revisions.remove(first);
  assert.deepEqual(warm.kept, []);
});

test("a program that has ended is started again with the next request", async () => {
  const { runtime, open } = await deployed();
  const works = runtime.tunnel;
  const dead = running(runtime)[0];
  runtime.tunnel = async (id, target) => {
    if (id === dead) throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    return works(id, target);
  };
  (await open()).destroy();
  const [only, ...others] = running(runtime);
  assert.ok(only !== dead && others.length === 0);
});
