/** The REST half of the API: lists, objects, errors. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SbxError } from "../../../src/runtime/errors.ts";
import { snapshotInfo, volumeInfo } from "../../fake-disks.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { openBench } from "./harness.ts";

const ID = "sbx_loc_0123456789abcdefghjk";

test("a sandbox in the list is in camel case, and one that is over is stopped", async (t) => {
  const { call, runtime } = await openBench(t);
  const stoppedAt = 1_700_000_500_000;
  runtime.sandboxes = [
    sandboxInfo({ id: `${ID.slice(0, -1)}2`, status: "failed", stoppedAt, createdAt: 1_600_000_000_000 }),
    sandboxInfo({ labels: { team: "x y" }, status: "paused" }),
  ];
  const { status, body } = await call("GET", "/api/v2/sandboxes");
  assert.equal(status, 200);
  assert.deepEqual(body, [
    {
      ...{ id: ID, createdAt: "2023-11-14T22:13:20.000Z", stoppedAt: null, region: "loc" },
      ...{ status: "running", labels: { team: "x y" } },
    },
    {
      ...{ id: `${ID.slice(0, -1)}2`, createdAt: "2020-09-13T12:26:40.000Z", stoppedAt: "2023-11-14T22:21:40.000Z" },
      ...{ region: "loc", status: "stopped", labels: {} },
    },
  ]);
});

test("labels select sandboxes, percent-encoded as the SDK sends them", async (t) => {
  const { call, runtime } = await openBench(t);
  runtime.sandboxes = [sandboxInfo({ labels: { team: "x y" } }), sandboxInfo({ id: `${ID}1`, labels: { team: "z" } })];
  const { body } = await call("GET", "/api/v2/sandboxes?labels%5Bteam%5D=x+y");
  assert.deepEqual(
    (body as { id: string }[]).map(({ id }) => id),
    [ID],
  );
});

test("a volume is made within its bounds, with sizes in units, from the published name of the image or a snapshot", async (t) => {
  const { call, runtime } = await openBench(t);
  runtime.snapshots.snapshots = [snapshotInfo({ slug: "tools", sizeBytes: 2_000_000_000 })];
  const made = await call("POST", "/api/v2/volumes", {
    body: { slug: "data", region: "ord", capacity: "2GB", token: "t" },
  });
  assert.equal(made.status, 201);
  assert.equal((made.body as { capacity: number }).capacity, 2_000_000_000);
  await call("POST", "/api/v2/volumes", {
    body: { slug: "root", capacity: 10_000_000_000, from: "builtin:debian-13" },
  });
  await call("POST", "/api/v2/volumes", { body: { slug: "copy", from: "tools" } });
  assert.deepEqual(
    runtime.volumes.calls.filter(([name]) => name === "create").map(([, spec]) => spec),
    [
      { slug: "data", capacityBytes: 2_000_000_000 },
      { slug: "root", capacityBytes: 10_000_000_000, from: "a".repeat(64) },
      { slug: "copy", capacityBytes: 2_000_000_000, from: snapshotInfo().id },
    ],
  );
  for (const body of [
    { slug: "big", capacity: "21GB" },
    { slug: "small", capacity: "1MB" },
    { slug: "odd", capacity: "much" },
    { slug: "none" },
    { slug: "x", capacity: "1GB" },
    { capacity: "1GB" },
  ]) {
    const refused = await call("POST", "/api/v2/volumes", { body });
    assert.equal(refused.status, 400, JSON.stringify(body));
    assert.equal((refused.body as { code: string }).code, "INVALID_REQUEST");
  }
});

test("volumes and snapshots go by id and by slug, whole: a beginning is nobody's name", async (t) => {
  const { call, runtime } = await openBench(t);
  runtime.volumes.volumes = [volumeInfo({ slug: "data" })];
  runtime.snapshots.snapshots = [snapshotInfo({ slug: "tools" })];
  // The runtime would find them by a beginning, as the command line does.
  const getVolume = runtime.volumes.get.bind(runtime.volumes);
  const getSnapshot = runtime.snapshots.get.bind(runtime.snapshots);
  runtime.volumes.get = async (ref) => getVolume("data".startsWith(ref) ? "data" : ref);
  runtime.snapshots.get = async (ref) => getSnapshot("tools".startsWith(ref) ? "tools" : ref);
  for (const path of [
    "volumes/data",
    `volumes/${volumeInfo().id}`,
    "snapshots/tools",
    `snapshots/${snapshotInfo().id}`,
  ]) {
    assert.equal((await call("GET", `/api/v2/${path}`)).status, 200, path);
  }
  for (const path of ["volumes/dat", "volumes/vol_", "snapshots/tool", "volumes/%20", "snapshots/..%2Ftools"]) {
    const { status, body } = await call("GET", `/api/v2/${path}`);
    assert.equal(status, 404, path);
    assert.match((body as { code: string }).code, /^(VOLUME|SNAPSHOT)_NOT_FOUND$/);
  }
  assert.deepEqual((await call("GET", "/api/v2/snapshots/tools")).body, {
    ...{ id: snapshotInfo().id, slug: "tools", region: "loc", allocated_size: 300_000_000 },
    ...{ flattened_size: 1_500_000_000, is_bootable: true, volume: { id: ID, slug: "box" } },
  });
});

test("a sandbox goes by its whole id: neither a beginning nor a name is one", async (t) => {
  const { call, runtime } = await openBench(t);
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  for (const ref of ["sbx_loc_0", "web", "we", "%20", `${ID}x`]) {
    const { status, body } = await call("DELETE", `/api/v3/sandbox/${ref}`);
    assert.deepEqual([status, (body as { code: string }).code], [404, "SANDBOX_NOT_FOUND"], ref);
  }
  assert.equal(runtime.sandboxes[0]?.status, "running");
});

test("a snapshot is taken of a volume that nobody writes to", async (t) => {
  const { call, runtime } = await openBench(t);
  const holder = { id: ID, name: "box", access: "read-write" as const, path: "/data" };
  runtime.volumes.volumes = [
    volumeInfo({ slug: "free" }),
    volumeInfo({ id: "vol_2", slug: "held", holders: [holder] }),
  ];
  const taken = await call("POST", "/api/v2/volumes/free/snapshot", { body: { slug: "first" } });
  assert.equal(taken.status, 201);
  assert.equal((taken.body as { slug: string }).slug, "first");
  const refused = await call("POST", "/api/v2/volumes/held/snapshot", { body: { slug: "second" } });
  assert.equal(refused.status, 409);
  assert.equal((refused.body as { code: string }).code, "VOLUME_IN_USE");
});

test("deleting answers with nothing, and then there is nothing to delete", async (t) => {
  const { call, runtime } = await openBench(t);
  runtime.volumes.volumes = [volumeInfo({ slug: "data" })];
  runtime.snapshots.snapshots = [snapshotInfo({ slug: "tools" })];
  runtime.sandboxes = [sandboxInfo()];
  for (const path of ["/api/v2/volumes/data", "/api/v2/snapshots/tools", `/api/v3/sandbox/${ID}`]) {
    const { status, body } = await call("DELETE", path);
    assert.deepEqual([status, body], [204, ""], path);
  }
  assert.equal(runtime.sandboxes[0]?.status, "stopped");
  assert.equal((await call("DELETE", "/api/v2/snapshots/tools")).status, 404);
});

test("extending names an end, which is never later than the quota allows, and not in the past", async (t) => {
  const { call, runtime } = await openBench(t);
  runtime.sandboxes = [sandboxInfo()];
  runtime.now = Date.now();
  const path = `/api/v3/sandbox/${ID}`;
  const far = await call("PATCH", path, { body: { stop_at_ms: Date.now() + 3_600_000 } });
  assert.equal(far.status, 200);
  const extended = runtime.calls.findLast(({ method }) => method === "extend");
  assert.deepEqual(extended?.args, [ID, 30 * 60_000]);
  assert.equal((far.body as { stop_at_ms: number }).stop_at_ms, runtime.sandboxes[0]?.expiresAt);
  for (const body of [{ stop_at_ms: 1 }, { stop_at_ms: "soon" }, {}, "{", { stop_at_ms: 1e300 }]) {
    assert.equal((await call("PATCH", path, { body })).status, 400, JSON.stringify(body));
  }
});

test("each failure of the runtime is one status and code; what is the server's own affair is not told", async (t) => {
  const { call, runtime, log } = await openBench(t);
  runtime.sandboxes = [sandboxInfo()];
  const cases = [
    [new SbxError("sandbox_paused", "it is paused"), 409, "SANDBOX_NOT_RUNNING", "it is paused"],
    [new SbxError("insufficient_resources", "/root/x has 3 MiB"), 503, "INSUFFICIENT_RESOURCES", undefined],
    [new SbxError("disk_full", "/root/x is full"), 503, "INSUFFICIENT_RESOURCES", undefined],
    [new SbxError("state_broken", "/root/.local/sbx.db is damaged"), 500, "INTERNAL", undefined],
    [new TypeError("x is not a function at /root/a.js"), 500, "INTERNAL", undefined],
  ] as const;
  for (const [error, status, code, message] of cases) {
    runtime.failures.set("extend", error);
    const answer = await call("PATCH", `/api/v3/sandbox/${ID}`, { body: { stop_at_ms: Date.now() + 60_000 } });
    const body = answer.body as { code: string; message: string };
    assert.deepEqual([answer.status, body.code], [status, code]);
    assert.doesNotMatch(body.message, /root/);
    if (message !== undefined) assert.equal(body.message, message);
    const trace = answer.headers.get("x-deno-trace-id") ?? "";
    assert.match(trace, /^[0-9a-f]{32}$/);
    if (status === 500) assert.ok(log().includes(trace) && log().includes(error.message));
  }
});

test("a path that is not there, a method that it has not, a WebSocket's place, a body that is none", async (t) => {
  const { call } = await openBench(t);
  const cases = [
    ["GET", "/", 404, "NOT_FOUND"],
    ["GET", "/api/v2/domains", 404, "NOT_FOUND"],
    ["GET", "/api/v2/volumes/a/b", 404, "NOT_FOUND"],
    ["GET", "/api/v2/volumes/%zz", 404, "NOT_FOUND"],
    ["PUT", "/api/v2/volumes", 405, "METHOD_NOT_ALLOWED"],
    ["GET", "/api/v3/sandboxes/create", 426, "UPGRADE_REQUIRED"],
    ["GET", `/api/v3/sandbox/${ID}/connect`, 426, "UPGRADE_REQUIRED"],
    ["GET", "/api/v2/volumes?limit=0", 400, "INVALID_REQUEST"],
    ["GET", "/api/v2/volumes?limit=101", 400, "INVALID_REQUEST"],
    ["GET", "/api/v2/volumes?cursor=nonsense", 400, "INVALID_REQUEST"],
  ] as const;
  for (const [method, path, status, code] of cases) {
    const answer = await call(method, path);
    assert.deepEqual([answer.status, (answer.body as { code: string }).code], [status, code], `${method} ${path}`);
  }
  const long = await call("POST", "/api/v2/volumes", { body: JSON.stringify({ slug: "a".repeat(70_000) }) });
  assert.deepEqual([long.status, (long.body as { code: string }).code], [413, "BODY_TOO_LARGE"]);
  assert.equal((await call("POST", "/api/v2/volumes", { body: "\u0000" })).status, 400);
});

test("pages follow each other by absolute links, and what is made meanwhile moves nothing", async (t) => {
  const { call, runtime, url } = await openBench(t);
  runtime.volumes.volumes = Array.from({ length: 65 }, (_, at) =>
    volumeInfo({ id: `vol_${String(at).padStart(3, "0")}`, slug: `v-${at}`, createdAt: 1000 + Math.floor(at / 2) }),
  );
  const seen: string[] = [];
  let next: string | undefined = "/api/v2/volumes?search=v";
  const sizes: number[] = [];
  while (next !== undefined) {
    const { body, headers }: Awaited<ReturnType<typeof call>> = await call("GET", next);
    const ids = (body as { id: string }[]).map(({ id }) => id);
    sizes.push(ids.length);
    seen.push(...ids);
    runtime.volumes.volumes.push(
      volumeInfo({ id: `vol_new${seen.length}`, slug: `v-new${seen.length}`, createdAt: 9e12 }),
    );
    const link = headers.get("link");
    const target = link === null ? undefined : /^<([^,;]+)>; rel="next"$/.exec(link)?.[1];
    assert.ok(link === null || target?.startsWith(`${url}/api/v2/volumes?`), link ?? "");
    next = target?.slice(url.length);
  }
  assert.deepEqual(sizes, [30, 30, 5]);
  assert.equal(new Set(seen).size, 65);
  assert.deepEqual(seen.slice(0, 3), ["vol_064", "vol_062", "vol_063"]);
});

test("links name the operator's URL where there is one, and never a Host field that is no host", async (t) => {
  const { call, runtime } = await openBench(t, { publicUrl: "https://sandboxes.example/" });
  runtime.volumes.volumes = [volumeInfo(), volumeInfo({ id: "vol_2", slug: "b" })];
  const { headers } = await call("GET", "/api/v2/volumes?limit=1");
  assert.match(
    headers.get("link") ?? "",
    /^<https:\/\/sandboxes\.example\/api\/v2\/volumes\?limit=1&cursor=[\w-]+>; rel="next"$/,
  );
});

test("health, readiness and metrics need no token, and tell nothing of an organisation", async (t) => {
  const { url, call } = await openBench(t);
  await call("GET", "/api/v2/volumes");
  for (const path of ["/healthz", "/readyz"]) assert.equal((await fetch(url + path)).status, 200);
  const text = await (await fetch(`${url}/metrics`)).text();
  assert.match(text, /^sbx_requests_total\{route="GET \/api\/v2\/volumes",status="200"\} 1$/m);
  assert.match(text, /^sbx_connections 0$/m);
  assert.doesNotMatch(text, /local/);
});

test("the log has who asked for what and how it ended, and no token, query or body", async (t) => {
  const { call, token, log } = await openBench(t);
  await call("POST", "/api/v2/volumes?secret=canary-1", {
    body: { slug: "canary-2", capacity: "1GB", token: "canary-3" },
  });
  assert.match(
    log(),
    /"method":"POST","route":"POST \/api\/v2\/volumes","status":201,.*"organisation":"local","token":"tok_/,
  );
  for (const secret of ["canary", token]) assert.ok(!log().includes(secret), secret);
});
