/**
 * The official SDK, unmodified, against the server: everything that it asks of the API service, and sandboxes that it
 * makes, with the RPC server and the guest's own agent behind a runtime in memory.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { WebSocketServer } from "ws";
import { serveConnection } from "../../../src/supervisor/rpc/connection.ts";
import { createGuestState } from "../../../src/supervisor/rpc/guest-state.ts";
import { openRealLink } from "../rpc-server/real-agent.ts";
import { INFO } from "../rpc-server/rpc-harness.ts";
import { snapshotInfo, volumeInfo } from "../../fake-disks.ts";
import { openBench, type ServerBench } from "./harness.ts";

/** The SDK is told of the server as `sbx serve` prints it. */
async function openSdk(t: TestContext, config?: object): Promise<ServerBench> {
  const bench = await openBench(t, config);
  process.env["DENO_SANDBOX_ENDPOINT"] = bench.url;
  process.env["DENO_DEPLOY_ENDPOINT"] = bench.url;
  process.env["DENO_DEPLOY_TOKEN"] = bench.token;
  return bench;
}

/** A guest behind every sandbox of the bench. */
async function openGuest(t: TestContext, { runtime }: ServerBench): Promise<{ connections: () => number }> {
  for (const method of ["error", "log", "debug"] as const) t.mock.method(console, method, () => undefined);
  const { link, home } = await openRealLink(t);
  const env = { PATH: process.env["PATH"] ?? "", HOME: home };
  const state = createGuestState({ link, user: "app", home, env, info: () => INFO });
  const http = createServer();
  const server = new WebSocketServer({ server: http, maxPayload: 128 * 1024 * 1024, perMessageDeflate: false });
  server.on("headers", (headers, request) => {
    headers.push(`x-deno-sandbox-id: ${request.url?.split("/")[4] ?? ""}`);
  });
  const accepted = new Set<ReturnType<typeof serveConnection>>();
  server.on("connection", (socket, { socket: transport }) => {
    const connection = serveConnection(socket, state, { extensions: false, transport });
    accepted.add(connection);
    socket.once("close", () => accepted.delete(connection));
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  runtime.rpc = async (id, handshake) => {
    const socket = connect({ port: (http.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
    const fields = handshake.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(
      `GET /api/v3/sandbox/${id}/connect HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${fields}\r\n`,
    );
    return socket;
  };
  const remove = runtime.remove.bind(runtime);
  runtime.remove = async (ref) => {
    for (const connection of accepted) connection.close(1000, "the sandbox was ended");
    return remove(ref);
  };
  t.after(async () => {
    await link[Symbol.asyncDispose]();
    server.close();
    http.close();
    http.closeAllConnections();
  });
  return { connections: () => accepted.size };
}

test("create, use, close: a session ends with the connection that made it", async (t) => {
  const bench = await openSdk(t);
  await openGuest(t, bench);
  const sandbox = await Sandbox.create({ env: { COLOUR: "green" } });
  assert.match(sandbox.id, /^sbx_loc_[0-9a-z]{20}$/);
  assert.equal(await sandbox.sh`echo $COLOUR`.text(), "green\n");
  await sandbox.fs.writeTextFile("a.txt", "content");
  assert.equal(await sandbox.fs.readTextFile("a.txt"), "content");
  await sandbox.close();
  while (bench.runtime.sandboxes[0]?.status === "running") await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(bench.runtime.sandboxes[0]?.reason, "session_ended");
  await assert.rejects(Sandbox.connect({ id: sandbox.id }), { status: 404, code: "SANDBOX_NOT_FOUND" });
});

test("a sandbox with a lifetime outlives its connection, is connected to again, extended, and killed", async (t) => {
  const bench = await openSdk(t);
  const guest = await openGuest(t, bench);
  const { id } = await (async () => {
    await using sandbox = await Sandbox.create({ timeout: "5m", labels: { team: "a" } });
    return sandbox;
  })();
  while (guest.connections() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(bench.runtime.sandboxes[0]?.status, "running");
  const again = await Sandbox.connect({ id });
  bench.runtime.now = Date.now();
  assert.ok((await again.extendTimeout("10m")).getTime() > Date.now());
  const listed = await new Client().sandboxes.list({ labels: { team: "a" } });
  assert.deepEqual(
    listed.map((one) => [one.id, one.status]),
    [[id, "running"]],
  );
  await again.kill();
  const [stopped] = await new Client().sandboxes.list();
  assert.ok(stopped?.status === "stopped" && stopped.stoppedAt instanceof Date);
});

test("what the SDK is asked for reaches the runtime: memory, lifetime, network, secrets, volumes, root", async (t) => {
  const bench = await openSdk(t);
  await openGuest(t, bench);
  bench.runtime.volumes.volumes = [volumeInfo({ slug: "data" })];
  bench.runtime.snapshots.snapshots = [snapshotInfo({ slug: "tools" })];
  await using _sandbox = await Sandbox.create({
    ...{ memory: "2GiB", timeout: "2m", allowNet: ["example.com:443", "*.example.net"], root: "tools" },
    secrets: { KEY: { hosts: ["api.example.com"], value: "canary-value" } },
    volumes: { "/data": "data" },
  });
  const spec = bench.runtime.calls.find(({ method }) => method === "create")?.args[0] as Record<string, unknown>;
  const { lifetime, network, ...rest } = spec;
  assert.deepEqual(rest, {
    ...{ memoryBytes: 2 * 1024 ** 3, cpus: 2, root: "tools" },
    volumes: [{ volume: "data", path: "/data", access: "read-write" }],
  });
  const { kind, ms } = lifetime as { kind: string; ms: number };
  assert.ok(kind === "duration" && ms > 110_000 && ms <= 120_000);
  const { policy, secrets, onLeak } = network as {
    policy: { mode: string; rules: { host: string }[] };
    secrets: unknown;
    onLeak: string;
  };
  assert.deepEqual(
    [policy.mode, policy.rules.map(({ host }) => host), onLeak],
    ["none", ["example.com", "*.example.net"], "pass"],
  );
  assert.deepEqual(secrets, [{ name: "KEY", hosts: [{ host: "api.example.com", port: null, scheme: "https" }] }]);
  assert.deepEqual(bench.runtime.secretValues, { KEY: "canary-value" });
  assert.deepEqual(bench.runtime.environment, { HTTPS_PROXY: "http://proxy:8080" });
  assert.ok(!bench.log().includes("canary-value"));
});

test("errors are the SDK's own: a token that is not known, a limit, a configuration that cannot be", async (t) => {
  const bench = await openSdk(t, { quotas: { sandboxes: 0 } });
  await assert.rejects(Sandbox.create({ token: `ddo_${"x".repeat(43)}` }), { name: "InvalidTokenError" });
  await assert.rejects(Sandbox.create(), {
    name: "ConnectionEstablishmentError",
    status: 429,
    code: "TOO_MANY_SANDBOXES",
  });
  await assert.rejects(Sandbox.create({ allowNet: ["http://example.com"] }), { status: 400, code: "INVALID_CONFIG" });
  await assert.rejects(Sandbox.create({ volumes: { "/x": "none" } }), { status: 404, code: "VOLUME_NOT_FOUND" });
  await assert.rejects(
    new Client({ token: bench.makeToken({ scopes: ["read"] }) }).volumes.create({
      slug: "ab",
      region: "ord",
      capacity: "1GB",
    }),
    {
      ...{ status: 403, code: "INSUFFICIENT_SCOPE" },
    },
  );
});

test("volumes and snapshots, made, found, listed over pages and deleted", async (t) => {
  const bench = await openSdk(t);
  const client = new Client();
  const volume = await client.volumes.create({ slug: "data", region: "ord", capacity: "2GB" });
  assert.deepEqual([volume.slug, volume.capacity, volume.isBootable], ["data", 2_000_000_000, false]);
  assert.equal((await client.volumes.get("data"))?.id, volume.id);
  assert.equal(await client.volumes.get("nothing"), null);
  const snapshot = await client.volumes.snapshot("data", { slug: "first" });
  assert.equal(snapshot.slug, "first");
  bench.runtime.snapshots.snapshots = Array.from({ length: 40 }, (_, at) =>
    snapshotInfo({ id: `snp_${at}`, slug: `s-${at}` }),
  );
  const slugs: string[] = [];
  for await (const { slug } of await client.snapshots.list()) slugs.push(slug);
  assert.equal(new Set(slugs).size, 40);
  await client.snapshots.delete("s-1");
  assert.equal(await client.snapshots.get("s-1"), null);
  await assert.rejects(client.volumes.create({ slug: "data", region: "ord", capacity: "1GB" }), {
    status: 409,
    code: "SLUG_ALREADY_IN_USE",
  });
  await client.volumes.delete("data");
});

test("a reader of the SDK's settles when the server goes away, and when the token is revoked", async (t) => {
  const bench = await openSdk(t);
  await openGuest(t, bench);
  const token = bench.makeToken({ name: "lent" });
  const [kept, lent] = [await Sandbox.create({ timeout: "5m" }), await Sandbox.create({ timeout: "5m", token })];
  const read = async (sandbox: Sandbox): Promise<unknown> => {
    const child = await sandbox.spawn("sh", { args: ["-c", "echo begun; exec sleep 60"], stdout: "piped" });
    const reader = child.stdout?.getReader();
    assert.equal(String(Buffer.from((await reader?.read())?.value ?? [])), "begun\n");
    return assert.rejects(async () => reader?.read(), /the client hung up/);
  };
  const first = read(lent);
  bench.tokens.revoke("lent");
  await first;
  const second = read(kept);
  await new Promise((resolve) => setTimeout(resolve, 200));
  await bench.server[Symbol.asyncDispose]();
  await second;
});

test("an application can hold two sandboxes, whose streams do not mix", async (t) => {
  const bench = await openSdk(t);
  await openGuest(t, bench);
  await using one = await Sandbox.create();
  await using other = await Sandbox.create();
  const texts = await Promise.all(
    Array.from({ length: 20 }, async (_, at) => (at % 2 ? one : other).sh`echo ${at}`.text()),
  );
  assert.deepEqual(
    texts,
    Array.from({ length: 20 }, (_, at) => `${at}\n`),
  );
});
