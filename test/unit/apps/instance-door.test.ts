/** How connections get to an instance's server: one name for each, and none is ended for what is not its program's doing. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { InstanceDoor } from "../../../src/runtime/local/apps/instance-door.ts";
import { SbxError, type ErrorCode } from "../../../src/runtime/errors.ts";
import type { Domain } from "../../../src/runtime/domains.ts";
import { DOMAIN_HOST } from "../../../src/protocol/domain-calls.ts";
import { FakeRuntime } from "../../fake-runtime.ts";
import { runApps } from "./fake-program.ts";

async function bench(): Promise<{
  door: InstanceDoor;
  instance: Parameters<InstanceDoor["open"]>[0];
  calls: string[][];
}> {
  const runtime = new FakeRuntime();
  const sandbox = await runtime.create({ lifetime: { kind: "duration", ms: 60_000 } });
  const calls: string[][] = [];
  const door = new InstanceDoor({
    async announce(ref, domain, target) {
      calls.push(["announce", ref, domain, JSON.stringify(target)]);
      return Promise.resolve<Domain>({ domain, target: target ?? undefined, createdAt: 0 });
    },
    async openHttp(ref, domain) {
      calls.push(["open", ref, domain]);
      return Promise.resolve(new PassThrough());
    },
  });
  return { door, calls, instance: { sandbox, port: 8000, isWoken: false } };
}

test("the name of an instance is announced once, however many connect at once, and is a host name", async () => {
  const { door, instance, calls } = await bench();
  await Promise.all([door.open(instance), door.open(instance)]);
  await door.open(instance);
  const name = "app-8000.internal";
  const { id } = instance.sandbox;
  assert.deepEqual(calls, [
    ["announce", id, name, '{"guestPort":8000}'],
    ...Array.from({ length: 3 }, () => ["open", id, name]),
  ]);
  assert.match(name, DOMAIN_HOST);
});

test("a name that could not be announced is announced with the next connection", async () => {
  const { instance } = await bench();
  let attempts = 0;
  const door = new InstanceDoor({
    async announce(_ref, domain) {
      if (++attempts === 1) throw new SbxError("supervisor_lost", "it does not answer");
      return Promise.resolve<Domain>({ domain, target: { guestPort: 8000 }, createdAt: 0 });
    },
    openHttp: async () => Promise.resolve(new PassThrough()),
  });
  await assert.rejects(door.open(instance), { code: "supervisor_lost" });
  await door.open(instance);
  assert.equal(attempts, 2);
});

test("an instance that stands still, or has as many connections as it may have, is told of and not ended", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const assets = new Map([["main.ts", { kind: "file" as const, content: Buffer.from("Deno.serve()") }]]);
  const source = { kind: "assets" as const, assets };
  const { id } = await runtime.apps.deploy("shop", { source, production: true, preview: false });
  for await (const progress of runtime.apps.revisions.progress(id)) assert.ok(progress.queued);
  const running = (): string[] => runtime.sandboxes.filter(({ status }) => status === "running").map((info) => info.id);
  const before = running();
  const works = runtime.domains.connect;
  for (const code of ["sandbox_paused", "insufficient_resources"] satisfies ErrorCode[]) {
    runtime.domains.connect = async () => Promise.reject(new SbxError(code, "not now"));
    await assert.rejects(runtime.apps.openHttp({ app: "shop" }), { code });
  }
  runtime.domains.connect = works;
  (await runtime.apps.openHttp({ app: "shop" })).stream.destroy();
  assert.deepEqual(running(), before);
});
