/** How connections get to an instance's server, and that none is ended for what is not its program's doing. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import { DOMAIN_HOST } from "../../../src/protocol/domain-calls.ts";
import { InstanceDoor, type InstanceDomains } from "../../../src/runtime/local/apps/instance-door.ts";
import type { Instance } from "../../../src/runtime/local/apps/instance-start.ts";
import { SbxError, type ErrorCode } from "../../../src/runtime/errors.ts";
import { FakeRuntime } from "../../fake-runtime.ts";
import { runApps } from "./fake-program.ts";

const NAME = "app-8000.internal";

interface Bench {
  door: InstanceDoor;
  instance: Instance;
  calls: string[];
  /** Thrown by the next announcement. */
  failures: SbxError[];
}

async function openBench(): Promise<Bench> {
  const runtime = new FakeRuntime();
  const [calls, failures]: [string[], SbxError[]] = [[], []];
  runtime.tunnel = async () => {
    calls.push("tunnel");
    return Promise.resolve(new PassThrough());
  };
  const sandbox = await runtime.create({ lifetime: { kind: "duration", ms: 60_000 } });
  const domains: InstanceDomains = {
    async announce(ref, domain, target) {
      calls.push(`announce ${domain} ${JSON.stringify(target)}`);
      assert.equal(ref, sandbox.id);
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return Promise.resolve({ domain, target: target ?? undefined, createdAt: 0 });
    },
    async openHttp(_ref, domain) {
      calls.push(`open ${domain}`);
      return Promise.resolve(new PassThrough());
    },
  };
  return { door: new InstanceDoor(domains), calls, failures, instance: { sandbox, port: 8000, isWoken: true } };
}

test("the first connection is a tunnel, and once an answer is out all further ones go over the card, by one name", async () => {
  const { door, instance, calls } = await openBench();
  const tunnel = await door.open(instance);
  assert.equal(door.isOutdated(instance, tunnel), false);
  door.prepare(instance);
  door.prepare(instance);
  await turn();
  assert.equal(door.isOutdated(instance, tunnel), true);
  const further = await door.open(instance);
  door.prepare(instance);
  assert.equal(door.isOutdated(instance, further), false);
  assert.deepEqual(calls, ["tunnel", `announce ${NAME} {"guestPort":8000}`, `open ${NAME}`, `open ${NAME}`]);
  assert.match(NAME, DOMAIN_HOST);
});

test("where the way over the card cannot be made tunnels go on, and it is tried again with the next answer", async () => {
  const { door, instance, calls, failures } = await openBench();
  failures.push(new SbxError("supervisor_lost", "it does not answer"));
  const tunnel = await door.open(instance);
  door.prepare(instance);
  await turn();
  assert.equal(door.isOutdated(instance, tunnel), false);
  await door.open(instance);
  assert.deepEqual(calls.slice(2), ["tunnel"]);
  door.prepare(instance);
  await turn();
  assert.equal(door.isOutdated(instance, tunnel), true);
});

test("a connection that is a tunnel gives way at rest, and the next request finds the same instance over its card", async () => {
  const { runtime, open } = await openShop();
  const first = await open();
  first.rest();
  while (!runtime.calls.some(({ method }) => method === "domains")) await turn();
  while (first.goOn()) {
    first.rest();
    await turn();
  }
  first.stream.destroy();
  const before = running(runtime);
  const second = await open();
  second.rest();
  assert.equal(second.goOn(), true);
  second.stream.destroy();
  assert.deepEqual(running(runtime), before);
});

test("an instance that stands still, or has as many connections as it may have, is told of and not ended", async () => {
  const { runtime, open } = await openShop();
  const first = await open();
  do {
    first.rest();
    await turn();
  } while (first.goOn());
  const before = running(runtime);
  const works = runtime.domains.connect;
  for (const code of ["sandbox_paused", "insufficient_resources"] satisfies ErrorCode[]) {
    runtime.domains.connect = async () => Promise.reject(new SbxError(code, "not now"));
    await assert.rejects(open(), { code });
  }
  runtime.domains.connect = works;
  (await open()).stream.destroy();
  assert.deepEqual(running(runtime), before);
});

function running(runtime: FakeRuntime): string[] {
  return runtime.sandboxes.filter(({ status }) => status === "running").map(({ id }) => id);
}

/** An app that is deployed. */
async function openShop(): Promise<{ runtime: FakeRuntime; open: () => ReturnType<FakeRuntime["apps"]["openHttp"]> }> {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const assets = new Map([["main.ts", { kind: "file" as const, content: Buffer.from("Deno.serve()") }]]);
  const source = { kind: "assets" as const, assets };
  const { id } = await runtime.apps.deploy("shop", { source, production: true, preview: false });
  for await (const progress of runtime.apps.revisions.progress(id)) assert.ok(progress.queued);
  return { runtime, open: async () => runtime.apps.openHttp({ app: "shop" }) };
}
