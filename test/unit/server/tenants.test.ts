/** Tokens, organisations and what they may have: nobody sees or touches what is another's. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { TokenStore } from "../../../src/server/tokens/token-store.ts";
import { snapshotInfo, volumeInfo } from "../../fake-disks.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { openSandboxRpc } from "./fake-sandbox-rpc.ts";
import { configHeader, openBench, rawRequest, SANDBOX_ID, upgradeLines } from "./harness.ts";

const UNKNOWN = "sbx_loc_zzzzzzzzzzzzzzzzzzzz";
const CREATE = "/api/v3/sandboxes/create";

test("every id and slug of another organisation is answered exactly as one that never was", async (t) => {
  const { call, makeToken, organisations, url } = await openBench(t);
  const other = organisations.of("acme");
  other.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  other.volumes.volumes = [volumeInfo({ slug: "theirs" })];
  other.snapshots.snapshots = [snapshotInfo({ slug: "their-snap" })];
  const before = JSON.stringify([other.sandboxes, other.volumes.volumes, other.snapshots.snapshots]);
  const attempts = (sandbox: string, volume: string, snapshot: string): [string, string, object?][] => [
    ["DELETE", `/api/v3/sandbox/${sandbox}`],
    ["DELETE", `/api/v3/sandboxes/${sandbox}`],
    ["PATCH", `/api/v3/sandbox/${sandbox}`, { stop_at_ms: Date.now() + 60_000 }],
    ["GET", `/api/v2/volumes/${volume}`],
    ["DELETE", `/api/v2/volumes/${volume}`],
    ["POST", `/api/v2/volumes/${volume}/snapshot`, { slug: "mine" }],
    ["POST", "/api/v2/volumes", { slug: "mine", from: snapshot }],
    ["GET", `/api/v2/snapshots/${snapshot}`],
    ["DELETE", `/api/v2/snapshots/${snapshot}`],
  ];
  const theirs = attempts(SANDBOX_ID, volumeInfo().id, "their-snap");
  const nobodys = attempts(UNKNOWN, "vol_loc_zzz", "no-snap");
  for (const [at, [method, target, body]] of theirs.entries()) {
    const [, unknown = ""] = nobodys[at] ?? [];
    const [real, none] = [await call(method, target, { body }), await call(method, unknown, { body })];
    const plain = (value: unknown): string =>
      JSON.stringify(value).replaceAll(/sbx_loc_\w+|vol_loc_\w+|(?:their|no)-snap/g, "X");
    assert.deepEqual([real.status, plain(real.body)], [none.status, plain(none.body)], `${method} ${target}`);
    assert.equal(real.status, 404);
  }
  const token = makeToken();
  const heads = [];
  for (const id of [SANDBOX_ID, UNKNOWN]) {
    const { head, socket } = await rawRequest(url, upgradeLines(`/api/v3/sandbox/${id}/connect`, token));
    heads.push(head.replace(/x-deno-trace-id: \w+/, ""));
    await once(socket.resume(), "end");
  }
  assert.match(heads[0] ?? "", /^HTTP\/1\.1 404 /);
  assert.equal(heads[0], heads[1]);
  for (const list of ["sandboxes", "volumes", "snapshots"])
    assert.deepEqual((await call("GET", `/api/v2/${list}`)).body, []);
  assert.equal(JSON.stringify([other.sandboxes, other.volumes.volumes, other.snapshots.snapshots]), before);
});

test("a header or query that names another organisation opens nothing, whether it exists or not", async (t) => {
  const { call, organisations } = await openBench(t);
  organisations.of("acme").volumes.volumes = [volumeInfo()];
  for (const org of ["acme", "nobody", "../acme", ""]) {
    const { status, body } = await call("GET", "/api/v2/volumes", { headers: { "x-deno-org": org } });
    assert.deepEqual([status, (body as { code: string }).code], [403, "ORG_FORBIDDEN"], org);
  }
  assert.deepEqual((await call("GET", "/api/v2/volumes?org=acme")).body, []);
  assert.deepEqual(organisations.opened, ["local"]);
});

test("an organisation's token reaches its own runtime; a personal one the organisation that is named", async (t) => {
  const { call, makeToken, organisations } = await openBench(t);
  organisations.of("acme").volumes.volumes = [volumeInfo({ slug: "theirs" })];
  const slugs = async (token: string, org?: string): Promise<unknown> => {
    const headers = org === undefined ? {} : { "x-deno-org": org };
    const { status, body } = await call("GET", "/api/v2/volumes", { token, headers });
    return status === 200 ? (body as { slug: string }[]).map(({ slug }) => slug) : (body as { code: string }).code;
  };
  const own = makeToken({ organisations: ["acme"] });
  assert.match(own, /^ddo_/);
  assert.deepEqual(await slugs(own), ["theirs"]);
  const personal = makeToken({ kind: "personal", organisations: ["local", "acme"] });
  assert.match(personal, /^ddp_/);
  assert.deepEqual(
    [await slugs(personal), await slugs(personal, "acme"), await slugs(personal, "local")],
    ["MISSING_ORG", ["theirs"], []],
  );
});

test("no token, a wrong one, an expired one, one without the scope: each is refused, and says why", async (t) => {
  const { call, makeToken, url } = await openBench(t);
  const refused = async (token: string | undefined, path = "/api/v2/volumes"): Promise<unknown[]> => {
    const response = await fetch(url + path, token === undefined ? {} : { headers: { authorization: token } });
    return [response.status, ((await response.json()) as { code: string }).code];
  };
  const valid = makeToken();
  for (const wrong of [
    undefined,
    "Bearer",
    "Bearer x",
    `Basic ${valid}`,
    `Bearer ${valid}x`,
    `Bearer ${valid.slice(0, -1)}`,
    `Bearer ${valid.replace("ddo", "ddp")}`,
  ]) {
    assert.deepEqual(await refused(wrong), [401, "INVALID_TOKEN"], wrong ?? "none");
  }
  assert.deepEqual(await refused(`Bearer ${makeToken({ expiresAt: Date.now() - 1 })}`), [401, "TOKEN_EXPIRED"]);
  assert.deepEqual(await refused(`Bearer ${makeToken({ scopes: ["volumes"] })}`), [403, "INSUFFICIENT_SCOPE"]);
  const reader = makeToken({ scopes: ["read"] });
  assert.equal((await call("GET", "/api/v2/sandboxes", { token: reader })).status, 200);
  assert.equal((await call("DELETE", `/api/v3/sandbox/${SANDBOX_ID}`, { token: reader })).status, 403);
  const { head } = await rawRequest(url, upgradeLines(CREATE, reader, [`x-deno-sandbox-config: ${configHeader()}`]));
  assert.match(head, /^HTTP\/1\.1 403 /);
});

test("a revoked token is refused at once, and the connections that it opened are hung up on", async (t) => {
  const { call, makeToken, runtime, tokens, url } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const token = makeToken({ name: "gone" });
  const { socket } = await rawRequest(url, upgradeLines(`/api/v3/sandbox/${SANDBOX_ID}/connect`, token));
  const kept = await rawRequest(url, upgradeLines(`/api/v3/sandbox/${SANDBOX_ID}/connect`, makeToken()));
  tokens.revoke("gone");
  assert.equal((await call("GET", "/api/v2/volumes", { token })).status, 401);
  const received: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => received.push(chunk));
  await once(socket, "end");
  const frame = Buffer.concat(received);
  assert.deepEqual([frame[0], frame.readUInt16BE(2)], [0x88, 1008]);
  assert.ok(!kept.socket.readableEnded);
});

test("tokens are kept as hashes: no file of the server's holds one", async (t) => {
  const directory = temporaryDirectory(t);
  using tokens = TokenStore.open(directory);
  const life = { createdAt: 1, expiresAt: null };
  const { token } = tokens.create({
    name: "a",
    kind: "organisation",
    organisations: ["local"],
    scopes: ["read"],
    ...life,
  });
  for (const name of readdirSync(directory)) {
    const bytes = readFileSync(path.join(directory, name));
    assert.ok(!bytes.includes(token) && !bytes.includes(token.slice(4)), name);
  }
  assert.equal(tokens.find(token)?.name, "a");
  assert.throws(() => tokens.revoke("b"), /there is no token "b"/);
  tokens.create({ name: "a", kind: "organisation", organisations: ["local"], scopes: ["read"], ...life });
  assert.throws(() => tokens.revoke("a"), /several tokens are called "a"/);
});

async function create(url: string, token: string, config: object = {}): Promise<string> {
  const { head, socket } = await rawRequest(
    url,
    upgradeLines(CREATE, token, [`x-deno-sandbox-config: ${configHeader(config)}`]),
  );
  const status = / (\d{3}) /.exec(head)?.[1] ?? "";
  if (status === "101") return status;
  let body = "";
  for await (const chunk of socket) body += String(chunk);
  return `${status} ${/"code":"(\w+)"/.exec(body)?.[1] ?? ""}`;
}

test("no more sandboxes at one time than the quota, also when all are asked for at once, and each organisation for itself", async (t) => {
  const { makeToken, organisations, token, url } = await openBench(t, { quotas: { sandboxes: 3 } });
  const rpc = await openSandboxRpc(t);
  for (const name of ["local", "acme"]) organisations.of(name).rpc = rpc.open;
  // Long enough for all of them to be judged while none is in the list yet.
  organisations.of("local").createGate = new Promise((resolve) => setTimeout(resolve, 100));
  const answers = await Promise.all(Array.from({ length: 6 }, async () => create(url, token)));
  assert.deepEqual(answers.sort(), ["101", "101", "101", ...Array.from({ length: 3 }, () => "429 TOO_MANY_SANDBOXES")]);
  assert.equal(await create(url, makeToken({ organisations: ["acme"] })), "101");
  organisations.of("local").stop(organisations.of("local").sandboxes[0] ?? sandboxInfo(), "killed");
  assert.equal(await create(url, token), "101");
});

test("memory, processors, the rate of creations and the bytes of volumes have limits of their own", async (t) => {
  const organisations = {
    memory: { quotas: { memory: "3GiB" } },
    cpus: { quotas: { cpus: 3 } },
    rate: { quotas: { creationsPerMinute: 1 } },
    disks: { quotas: { volumes: "2GB" } },
  };
  const bench = await openBench(t, { organisations });
  const rpc = await openSandboxRpc(t);
  const tokenOf = (name: string): string => {
    bench.organisations.of(name).rpc = rpc.open;
    return bench.makeToken({ organisations: [name] });
  };
  const twice = async (token: string): Promise<string[]> => [
    await create(bench.url, token, { memory_mb: 2048 }),
    await create(bench.url, token, { memory_mb: 2048 }),
  ];
  assert.deepEqual(await twice(tokenOf("memory")), ["101", "429 QUOTA_EXCEEDED"]);
  assert.deepEqual(await twice(tokenOf("cpus")), ["101", "429 QUOTA_EXCEEDED"]);
  assert.deepEqual(await twice(tokenOf("rate")), ["101", "429 RATE_LIMITED"]);
  const token = tokenOf("disks");
  const volume = async (slug: string): Promise<number> =>
    (await bench.call("POST", "/api/v2/volumes", { token, body: { slug, capacity: "1GB" } })).status;
  assert.deepEqual((await Promise.all(["v1", "v2", "v3"].map(volume))).sort(), [201, 201, 429]);
});

test("memory below or above the documented bounds, more than five labels, a lifetime beyond thirty minutes", async (t) => {
  const { runtime, token, url } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  const labels = (count: number): object => ({
    labels: Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, "v"])),
  });
  for (const config of [
    { memory_mb: 767 },
    { memory_mb: 4097 },
    { memory_mb: "many" },
    labels(6),
    { labels: { ["k".repeat(65)]: "v" } },
    { labels: { k: "é".repeat(65) } },
    { stop_at_ms: Date.now() - 1 },
    { volumes: [{ volume: "v", path: "/" }] },
    { volumes: [{ volume: "v", path: "data" }] },
    { secrets: { "1X": { hosts: ["a.example"], value: "value" } } },
    { secrets: { X: { hosts: [], value: "value" } } },
    { secrets: { X: { hosts: ["*"], value: "value" } } },
    { timeout: "later" },
  ]) {
    assert.equal(await create(url, token, config), "400 INVALID_CONFIG", JSON.stringify(config));
  }
  assert.equal(await create(url, token, { ...labels(5), stop_at_ms: Date.now() + 3_600_000, unknown: [1] }), "101");
  const made = runtime.calls.find(({ method }) => method === "create")?.args[0] as { lifetime: unknown };
  assert.deepEqual(made.lifetime, { kind: "duration", ms: 30 * 60_000 });
});

test("a tenant is not let into this machine or its network, unless its operator says so", async (t) => {
  const { makeToken, organisations, token, url } = await openBench(t, {
    organisations: { lab: { quotas: { privateNetwork: true } } },
  });
  const rpc = await openSandboxRpc(t);
  organisations.of("lab").rpc = rpc.open;
  for (const host of [
    "127.0.0.1",
    "10.0.0.0/8",
    "192.168.1.1:80",
    "169.254.169.254",
    "[::1]:80",
    "host.sbx.internal:8080",
    "[::ffff:10.0.0.1]",
  ]) {
    assert.equal(await create(url, token, { allow_net: [host] }), "400 INVALID_CONFIG", host);
  }
  assert.equal(await create(url, makeToken({ organisations: ["lab"] }), { allow_net: ["10.0.0.0/8"] }), "101");
});

test("what the SDK for Python says otherwise is understood", async (t) => {
  const { call, runtime, token, url } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  runtime.volumes.volumes = [volumeInfo({ slug: "data" })];
  const config = {
    debug: true,
    env: { A: "b" },
    timeout: "5m",
    volumes: { "/data": "data" },
    memory_mb: 1280,
    region: "ord",
  };
  assert.equal(await create(url, token, config), "101");
  const spec = runtime.calls.find(({ method }) => method === "create")?.args[0] as Record<string, unknown>;
  assert.deepEqual(
    [spec.env, spec.lifetime, spec.volumes],
    [{ A: "b" }, { kind: "duration", ms: 300_000 }, [{ volume: "data", path: "/data", access: "read-write" }]],
  );
  const [listed] = (await call("GET", "/api/v3/sandboxes")).body as { id: string }[];
  assert.equal((await call("DELETE", `/api/v3/sandboxes/${listed?.id ?? ""}`)).status, 204);
});
