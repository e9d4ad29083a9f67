/** Instances: how many there are, who gets which, what goes on from its memory, and what is left alone. */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import type { AppConnection, RevisionVariable } from "../../../src/runtime/apps.ts";
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
  connect: () => Promise<AppConnection>;
}> {
  const runtime = new FakeRuntime();
  runtime.apps.limits = { connections: 2, instances: 2, waitMs: 50, restMs: 1, drainMs: 50, ...limits };
  const guest = runApps(runtime);
  // Connections stay what they are: how they change is the door's (instance-door.test.ts).
  runtime.domains.announce = async () => Promise.reject(new SbxError("supervisor_lost", "no names here"));
  await runtime.apps.create({ slug: "shop" });
  const deploy = async (env: RevisionVariable[] = []): Promise<string> => {
    const { id } = await runtime.apps.deploy("shop", { source: SOURCE, production: true, preview: false, env });
    for await (const progress of runtime.apps.revisions.progress(id)) assert.ok(progress.queued);
    return id;
  };
  const connect = async (): Promise<AppConnection> => runtime.apps.openHttp({ app: "shop" });
  const open = async (): Promise<Duplex> => (await connect()).stream;
  await deploy();
  return { runtime, guest, deploy, open, connect };
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

test("a memory in which somebody's request is half done is not kept, and another one is", async () => {
  const { runtime, open } = await deployed();
  const { warm } = runtime.apps;
  await until(() => warm.kept.length === 1);
  loseAll(runtime);
  warm.failure = new Error("damaged");
  const keep = warm.keep;
  let disturbed: Duplex | undefined;
  let tries = 0;
  warm.keep = async (...args) => {
    if (++tries === 1) disturbed = await open();
    await keep(...args);
  };
  (await open()).destroy();
  await until(() => disturbed !== undefined);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(warm.kept, []);
  disturbed?.destroy();
  await until(() => tries === 2 && warm.kept.length === 1);
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

test("a connection with nothing under way takes no room, and its next request goes on where there is some", async () => {
  const { runtime, connect } = await deployed({ instances: 1 });
  const first = await connect();
  first.rest();
  const [second, third] = [await connect(), await connect()];
  assert.equal(first.goOn(), false);
  second.rest();
  assert.equal(first.goOn(), true);
  for (const { stream } of [first, second, third]) stream.destroy();
  assert.equal(running(runtime).length, 1);
});

test("with the switch every further request goes to the new revision, and the old one ends with what is under way", async () => {
  const { runtime, deploy, connect } = await deployed();
  const [before] = running(runtime);
  const [resting, busy] = [await connect(), await connect()];
  resting.rest();
  await deploy();
  assert.equal(resting.goOn(), false);
  const after = await connect();
  after.rest();
  assert.ok(running(runtime).includes(before ?? ""));
  busy.stream.destroy();
  await until(() => !running(runtime).includes(before ?? ""));
  assert.equal(after.goOn(), true);
});

test("what does not come to its end at an old revision is ended all the same", async () => {
  const { runtime, deploy, connect } = await deployed({ drainMs: 20 });
  const [before] = running(runtime);
  const busy = await connect();
  await deploy();
  await connect();
  await until(() => !running(runtime).includes(before ?? ""));
  busy.stream.destroy();
});

test("a revision is made production again once it answers, and the one before that by asking for none", async () => {
  const { runtime, guest, deploy } = await deployed({ restMs: 60_000 });
  const { apps } = runtime;
  const [first] = (await apps.timelines("shop")).map(({ revision }) => revision ?? "");
  const second = await deploy();
  assert.equal((await apps.activate("shop", first)).revision, first);
  assert.equal((await apps.activate("shop")).revision, second);
  assert.equal((await apps.activate("shop")).revision, first);
  loseAll(runtime);
  guest.isHealthy = false;
  await assert.rejects(apps.activate("shop", second), { code: "guest_error" });
  assert.equal((await apps.timelines("shop"))[0]?.revision, first);
});

test("what was not built, or is another app's, is never production", async () => {
  const { runtime, guest, deploy } = await deployed();
  const { apps } = runtime;
  await assert.rejects(apps.activate("shop"), { code: "usage" });
  guest.isHealthy = false;
  const broken = await deploy();
  await assert.rejects(apps.activate("shop", broken), { code: "usage" });
  await assert.rejects(apps.activate("shop", "000000000000"), { code: "revision_not_found" });
  await apps.create({ slug: "other" });
  const [mine] = (await apps.timelines("shop")).map(({ revision }) => revision ?? "");
  await assert.rejects(apps.activate("other", mine), { code: "revision_not_found" });
  await assert.rejects(apps.activate("none", mine), { code: "app_not_found" });
});
