/**
 * The npm package `@deno/sandbox`, unmodified, against `sbx serve`: what a sandbox is made with, how long it lives, volumes
 * and snapshots.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { inspect } from "node:util";
import {
  ApiError,
  Client,
  ConnectionClosedError,
  ConnectionEstablishmentError,
  InvalidMemoryError,
  InvalidTimeoutError,
  InvalidTokenError,
  RpcError,
  Sandbox,
  SandboxCommandError,
  SandboxKillError,
  SandboxSdkError,
  Snapshot,
  Volume,
} from "@deno/sandbox";
import { assertShape } from "../sdk/shape.ts";
import { SdkBench } from "./support/sdk-bench.ts";

const MIB = 1024 ** 2;

/** What `look` finds, when it finds something. */
async function found<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const value = await look();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("the official SDK: the service", { timeout: 300_000 }, () => {
  let bench: SdkBench;
  let client: Client;

  before(async () => {
    bench = await SdkBench.open();
    client = new Client();
  });

  /** What a client may be told otherwise by variables. */
  const options = () => ({ token: bench.server.token ?? "", org: "local", apiEndpoint: bench.server.url });

  after(async () => bench[Symbol.asyncDispose]());

  test("a session's sandbox ends with the connection that made it, and others cannot keep it", async () => {
    const sandbox = await Sandbox.create({ timeout: "session", env: { NODE_ENV: "development", FLAG: "agents" } });
    assert.equal(await sandbox.sh`echo $NODE_ENV $FLAG`.text(), "development agents\n");
    const second = await client.sandboxes.connect(sandbox.id, {});
    const told = assert.rejects((await second.spawn("sleep", { args: ["600"] })).status, (error) => {
      assert.ok(error instanceof ConnectionClosedError);
      assert.deepEqual([error.code, error.reason], [1001, "sandbox session_ended"]);
      return true;
    });
    await sandbox.close();
    await sandbox.closed;
    await second.closed;
    await told;
    await assert.rejects(second.fs.readTextFile("x"), ConnectionClosedError);
    const listed = await found(async () => {
      const all = await client.sandboxes.list();
      return all.find(({ id, status }) => id === sandbox.id && status === "stopped");
    });
    assertShape(listed, {
      ...{ id: "string", createdAt: "Date", stoppedAt: "Date", region: "string", status: "string", labels: "object" },
    });
    await assert.rejects(Sandbox.connect(sandbox.id), { status: 404, code: "SANDBOX_NOT_FOUND" });
  });

  test("a sandbox with a duration is connected to again, has its life extended, and is killed", async () => {
    const sandbox = await client.sandboxes.create({ timeout: "5m", labels: { team: "a b", stage: "test" } });
    const { id } = sandbox;
    await sandbox.fs.writeTextFile("kept.txt", "kept");
    const child = await sandbox.spawn("sleep", { args: ["600"] });
    await sandbox.close(); // the connection alone
    const reconnected = await Sandbox.connect(id);
    await reconnected.sh`echo 'Still alive!'`.stdout("null");
    assert.equal(await reconnected.fs.readTextFile("kept.txt"), "kept");
    assert.equal(await reconnected.sh`ps -o pid= -p ${child.pid} | wc -l`.text(), "1\n");
    const options = { labels: { team: "a b" } };
    assert.deepEqual(
      (await client.sandboxes.list(options)).map((one) => [one.id, one.status, one.stoppedAt, one.labels]),
      [[id, "running", null, { team: "a b", stage: "test" }]],
    );
    const until = await reconnected.extendTimeout("20m");
    assert.ok(until.getTime() > Date.now() + 19 * 60_000);
    const third = await Sandbox.connect({ id, debug: false, sandboxEndpoint: bench.server.url });
    await third.kill();
    await reconnected.closed;
    await assert.rejects(Sandbox.connect({ id }), { name: "ConnectionEstablishmentError", status: 404 });
  });

  test("a duration that has passed ends the sandbox, though a client is connected, and readers are told", async () => {
    const sandbox = await Sandbox.create({ timeout: "2s" });
    const child = await sandbox.spawn("yes", { stdout: "piped" });
    const reader = child.stdout?.getReader();
    await assert.rejects(async () => {
      for (;;) await reader?.read();
    });
    await sandbox.closed;
    await assert.rejects(async () => await sandbox.sh`echo`, ConnectionClosedError);
  });

  test("options: endpoints, tokens, regions and memory are taken as they are given", async () => {
    const { url, token } = bench.server;
    await using sandbox = await Sandbox.create({
      ...{ memory: "1GiB", region: "ams", debug: false, sandboxEndpoint: () => url, apiEndpoint: url },
      ...{ token: token ?? "", org: "local" },
    });
    const { total } = await sandbox.deno.eval<{ total: number }>("Deno.systemMemoryInfo()");
    assert.ok(total > 900 * MIB && total <= 1024 * MIB, `${total}`);
    assert.match(sandbox.id, /^sbx_[a-z]{3}_[0-9a-z]{20}$/);
  });

  test("errors are classes of the SDK's own, with the server's words", async () => {
    await assert.rejects(Sandbox.create({ memory: "512MiB" }), InvalidMemoryError);
    // @ts-expect-error -- what its types do not allow
    await assert.rejects(Sandbox.create({ timeout: "5h" }), InvalidTimeoutError);
    await assert.rejects(Sandbox.create({ token: `ddo_${"x".repeat(43)}` }), InvalidTokenError);
    await assert.rejects(Sandbox.create({ root: "no-such-volume" }), (error) => {
      assert.ok(error instanceof ConnectionEstablishmentError && error instanceof SandboxSdkError);
      assert.deepEqual([error.status, error.code], [404, "VOLUME_NOT_FOUND"]);
      return error.traceId !== undefined && error.message.includes(error.traceId);
    });
    await using sandbox = await Sandbox.create();
    await assert.rejects(sandbox.fs.chmod("x", -1), (error) => {
      assert.ok(error instanceof RpcError && error.code === -32602);
      return JSON.stringify(error.data).includes("ZodError");
    });
    await assert.rejects(
      async () => sandbox.sh`exit 7`.text(),
      (error) => {
        return error instanceof SandboxCommandError && error.code === 7;
      },
    );
    const token = await bench.home.must(["token", "create", "--quiet"]);
    await using again = await Sandbox.connect({ id: sandbox.id, token });
    const tokens = JSON.parse(await bench.home.must(["token", "list", "--json"])) as { id: string }[];
    await bench.home.must(["token", "revoke", tokens[0]?.id ?? ""]);
    await assert.rejects(again.kill(), (error) => {
      assert.ok(error instanceof SandboxKillError && error.status === 401);
      return error.response.includes("INVALID_TOKEN");
    });
    await assert.rejects(client.volumes.create({ slug: "UPPER", region: "ord", capacity: "1GB" }), {
      ...{ name: "ClientError", status: 400, code: "INVALID_REQUEST" },
    });
  });

  test("a volume keeps what one sandbox wrote for the next one, by its slug and by its id", async () => {
    const volume = await client.volumes.create({ slug: "training-data", region: "ord", capacity: "2GB" });
    assert.deepEqual(
      [volume.slug, volume.capacity, volume.isBootable, volume.baseSnapshot],
      ["training-data", 2_000_000_000, false, null],
    );
    assert.ok(volume.id.length > 0 && volume.region === "loc");
    assert.ok(volume.estimatedAllocatedSize >= 0 && volume.estimatedFlattenedSize <= volume.capacity);
    {
      await using sandbox = await Sandbox.create({ volumes: { "/data/dataset": volume.slug } });
      await sandbox.fs.writeTextFile("/data/dataset/hello.txt", "Persist me!\n");
      await assert.rejects(Sandbox.create({ volumes: { "/data": volume.id } }), { status: 409, code: "VOLUME_IN_USE" });
      await assert.rejects(client.volumes.snapshot(volume.id, { slug: "early" }), { status: 409 });
    }
    // At once: a volume of a sandbox that is ending is waited for.
    await using sandbox = await Sandbox.create({ volumes: { "/data/dataset": volume.id } });
    assert.equal(await sandbox.fs.readTextFile("/data/dataset/hello.txt"), "Persist me!\n");
  });

  test("volumes are found, listed over pages and deleted", async () => {
    const volume = await Volume.create({ slug: "another", region: "ord", capacity: 300_000_000, ...options() });
    assert.equal((await Volume.get("another"))?.id, volume.id);
    assert.equal((await client.volumes.get(volume.id))?.slug, "another");
    assert.match(inspect(volume), /another/);
    const first = await client.volumes.list({ limit: 1 });
    assert.deepEqual([first.items.length, first.hasMore, typeof first.nextCursor], [1, true, "string"]);
    const second = await client.volumes.list({ limit: 1, cursor: first.nextCursor ?? "" });
    assert.equal(second.items[0]?.id, (await first.getNextPage())?.items[0]?.id);
    assert.equal(await second.getNextPage(), null);
    const slugs: string[] = [];
    for await (const { slug } of first) slugs.push(slug);
    assert.deepEqual(slugs.toSorted(), ["another", "training-data"]);
    assert.deepEqual(
      (await client.volumes.list({ search: "train" })).items.map(({ slug }) => slug),
      ["training-data"],
    );
    await assert.rejects(client.volumes.create({ slug: "another", region: "ord", capacity: "1GB" }), (error) => {
      assert.ok(error instanceof ApiError && error.traceId !== undefined);
      assert.deepEqual([error.status, error.code], [409, "SLUG_ALREADY_IN_USE"]);
      return true;
    });
    await client.volumes.delete("another");
    assert.equal(await client.volumes.get("another"), null);
  });

  test("a system is set up on a volume, snapshotted, and any number of sandboxes start from it", async () => {
    const base = await client.volumes.create({
      ...{ slug: "my-toolchain", region: "ord", capacity: "10GB", from: "builtin:debian-13" },
    });
    assert.deepEqual([base.isBootable, base.capacity], [true, 10_000_000_000]);
    {
      await using build = await Sandbox.create({ root: base.slug, allowNet: [] });
      await build.sh`sudo sh -c 'echo tool > /usr/local/bin/tool && sync'`;
    }
    const snapshot = await Snapshot.create(base.id, { slug: "toolchain-snapshot", ...options() });
    assert.match(inspect(snapshot), /toolchain-snapshot/);
    assert.deepEqual(
      [snapshot.slug, snapshot.region, snapshot.isBootable, snapshot.volume.id, snapshot.volume.slug],
      ["toolchain-snapshot", "loc", true, base.id, base.slug],
    );
    assert.ok(snapshot.allocatedSize > 0 && snapshot.flattenedSize >= snapshot.allocatedSize);
    assert.equal((await Snapshot.get(snapshot.id))?.slug, snapshot.slug);
    assert.equal((await client.snapshots.get("toolchain-snapshot"))?.id, snapshot.id);
    const { items } = await client.snapshots.list({ search: "toolchain", limit: 10 });
    assert.deepEqual(
      items.map(({ id }) => id),
      [snapshot.id],
    );
    await using one = await Sandbox.create({ root: snapshot.slug, allowNet: [] });
    await using two = await Sandbox.create({ root: snapshot.id, allowNet: [] });
    await one.sh`sudo rm /usr/local/bin/tool`;
    assert.equal(await two.fs.readTextFile("/usr/local/bin/tool"), "tool\n");
    const fork = await client.volumes.create({ slug: "fork", region: "ord", capacity: "10GB", from: snapshot.slug });
    assert.deepEqual([fork.baseSnapshot?.id, fork.baseSnapshot?.slug], [snapshot.id, snapshot.slug]);
    await client.volumes.delete(fork.id);
  });

  test("a snapshot goes when nobody uses it", async () => {
    await client.snapshots.delete("toolchain-snapshot");
    assert.equal(await client.snapshots.get("toolchain-snapshot"), null);
    await client.volumes.delete("my-toolchain");
  });
});
