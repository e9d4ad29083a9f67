/** The remote runtime in front of a server that has the published API alone: used by that alone, and nothing left out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Endpoints } from "../../../src/runtime/remote/endpoints.ts";
import type { NetworkSpec, SandboxSpec } from "../../../src/runtime/types.ts";
import type { RuleSpec } from "../../../src/policy/spec.ts";
import { openPublishedServer, SANDBOX_ID, sendJson, website, type Answering } from "./published-server.ts";

const SESSION: SandboxSpec = { lifetime: { kind: "session" } };
const CREATED = "2026-01-02T03:04:05.000Z";
const ENTRY = { id: SANDBOX_ID, createdAt: CREATED, stoppedAt: null, region: "ord", status: "running", labels: {} };
const LIST: Answering = (request, response) =>
  request.url?.startsWith("/api/v2/sandboxes") === true ? sendJson(response, [ENTRY]) : website(request, response);

function network(more: Partial<NetworkSpec> = {}, rules: Partial<RuleSpec>[] = []): NetworkSpec {
  const rule = {
    id: "r1",
    verdict: "allow",
    ports: null,
    methods: null,
    paths: null,
    source: { kind: "default" },
  } as const;
  return {
    policy: { mode: "none", rules: rules.map((one) => ({ host: "a.example.com", ...rule, ...one })), expressions: [] },
    ...{ secrets: [], onLeak: "pass", inspect: false, hookPath: null, resolve: [], extraRootsPem: [], ...more },
  };
}

test("a sandbox is made with what the published configuration has, and its variables are set behind it", async (t) => {
  const { remote, machine, configs, calls, requests } = await openPublishedServer(t);
  machine.values = { KEY: "value" };
  const spec: SandboxSpec = {
    ...{ memoryBytes: 2 * 1024 ** 3, cpus: 2, diskBytes: 10_000_000_000, labels: { a: "b" }, root: "base" },
    ...{ env: { COLOUR: "green" }, lifetime: { kind: "duration", ms: 60_000 } },
    volumes: [{ volume: "data", path: "/data", access: "read-write" }],
    network: network({ secrets: [{ name: "KEY", hosts: [{ host: "a.example.com", port: null, scheme: "https" }] }] }, [
      { ports: [{ first: 443, last: 443 }] },
      { host: "2001:db8::1" },
    ]),
  };
  const before = Date.now();
  await using sandbox = await remote.create(spec);
  const [{ stop_at_ms: stopAt, ...config } = {}] = configs;
  assert.deepEqual(config, {
    ...{ memory_mb: 2048, labels: { a: "b" }, root: { volume: "base" } },
    volumes: [{ volume: "data", path: "/data" }],
    secrets: { KEY: { hosts: ["a.example.com"], value: "value" } },
    allow_net: ["a.example.com:443", "[2001:db8::1]"],
  });
  assert.ok(Number(stopAt) >= before + 60_000 && Number(stopAt) <= Date.now() + 60_000);
  assert.deepEqual(calls, [{ method: "envSet", params: { key: "COLOUR", value: "green" } }]);
  assert.deepEqual([sandbox.id, sandbox.info.region, sandbox.info.labels], [SANDBOX_ID, "ord", { a: "b" }]);
  assert.deepEqual(
    requests.map(({ method, path }) => `${method} ${path}`),
    ["GET /api/sbx/v1/about", "UPGRADE /api/v3/sandboxes/create"],
  );
  assert.ok(requests.every(({ headers }) => headers.authorization === "Bearer ddo_token"));
});

test("without a network the list of what may be reached is empty, and an open one has none", async (t) => {
  const { remote, configs } = await openPublishedServer(t);
  await using _none = await remote.create(SESSION);
  const open = network();
  await using _open = await remote.create({
    ...SESSION,
    network: { ...open, policy: { ...open.policy, mode: "open" } },
  });
  assert.deepEqual(
    configs.map((config) => config["allow_net"]),
    [[], undefined],
  );
});

test("what the published API has no words for is refused, by its name, and nothing is made", async (t) => {
  const { remote, requests, machine } = await openPublishedServer(t);
  machine.values = { KEY: "value" };
  const secrets = [{ name: "KEY", hosts: [{ host: "a.example.com", port: null, scheme: "https" }] }] as const;
  const cases: [Partial<SandboxSpec>, RegExp][] = [
    [{ name: "web" }, /names/],
    [{ image: "other" }, /images/],
    [{ cpus: 3 }, /processors/],
    [{ diskBytes: 1 }, /disk/],
    [{ checkpoint: "c" }, /checkpoints/],
    [{ volumes: [{ volume: "v", path: "/v", access: "read-only" }] }, /read-only volumes/],
    [{ network: network({ inspect: true }) }, /inspection/],
    [
      { network: network({ resolve: [{ host: "a.example.com", port: 1, address: "1.2.3.4" }] }) },
      /addresses for names/,
    ],
    [{ network: network({ extraRootsPem: ["x"] }) }, /certificates/],
    [{ network: network({ secrets, onLeak: "block" }) }, /where placeholders go/],
    [{ network: network({}, [{ verdict: "deny" }]) }, /deny/],
    [{ network: network({}, [{ methods: ["GET"] }]) }, /method/],
    [{ network: network({}, [{ paths: ["/"] }]) }, /path/],
    [{ network: network({}, [{ host: "203.0.113.0/24" }]) }, /ranges/],
    [{ network: network({}, [{ ports: [{ first: 1, last: 2 }] }]) }, /ports/],
    [{ network: { ...network(), policy: { mode: "balanced", rules: [], expressions: [] } } }, /usual hosts/],
  ];
  for (const [more, message] of cases) {
    await assert.rejects(remote.create({ ...SESSION, ...more }), { code: "unsupported", message });
  }
  assert.deepEqual(
    requests.map(({ method }) => method),
    ["GET"],
  );
});

test("sandboxes are listed over all pages, from the server itself, and found by the beginning of an id", async (t) => {
  const other = { ...ENTRY, id: "sbx_ord_00000000000000000002", status: "stopped", stoppedAt: CREATED };
  const { remote, requests, url } = await openPublishedServer(t, {
    answer: (request, response) => {
      if (request.url?.startsWith("/api/v2/sandboxes") !== true) website(request, response);
      else if (request.url.includes("cursor=next")) sendJson(response, [other]);
      else sendJson(response, [ENTRY], { link: '<https://elsewhere.example/x?cursor=next>; rel="next"' });
    },
  });
  const all = await remote.list({ labels: { team: "a b" } });
  assert.deepEqual(
    all.map(({ id, status }) => [id, status]),
    [
      [SANDBOX_ID, "running"],
      [other.id, "stopped"],
    ],
  );
  assert.equal(requests[1]?.path, "/api/v2/sandboxes?labels%5Bteam%5D=a+b");
  assert.equal(requests[2]?.headers.host, new URL(url).host);
  assert.equal((await remote.get("0000000000000000000" + "1")).id, SANDBOX_ID);
  await assert.rejects(remote.get("sbx_ord_"), { code: "sandbox_ambiguous" });
  await assert.rejects(remote.get("web"), { code: "sandbox_not_found" });
});

test("a sandbox is looked up and connected to on one connection", async (t) => {
  const { remote, requests, connections } = await openPublishedServer(t, { answer: LIST });
  await using sandbox = await remote.connect(SANDBOX_ID.slice(0, -1));
  assert.equal(sandbox.id, SANDBOX_ID);
  assert.equal(requests.length, 3);
  assert.equal(connections(), 1);
});

test("a sandbox is extended and ended by the published calls", async (t) => {
  const { remote, requests } = await openPublishedServer(t, {
    answer: (request, response) => {
      if (request.method === "PATCH") sendJson(response, { stop_at_ms: 1234 });
      else if (request.method === "DELETE") response.writeHead(204).end();
      else LIST(request, response);
    },
  });
  assert.equal(await remote.extend(SANDBOX_ID, 60_000), 1234);
  assert.equal((await remote.remove(SANDBOX_ID)).status, "stopped");
  const changing = requests.filter(({ method }) => method !== "GET");
  assert.deepEqual(
    changing.map(({ method, path }) => `${method} ${path}`),
    [`PATCH /api/v3/sandbox/${SANDBOX_ID}`, `DELETE /api/v3/sandbox/${SANDBOX_ID}`],
  );
  assert.ok((JSON.parse(changing[0]?.body ?? "") as { stop_at_ms: number }).stop_at_ms > Date.now());
});

test("every other call says that the server does not have it", async (t) => {
  const { remote } = await openPublishedServer(t);
  const calls = {
    fork: async () => remote.fork(SANDBOX_ID, { count: 1, lifetimeMs: 1 }),
    pause: async () => remote.pause(SANDBOX_ID),
    resume: async () => remote.resume(SANDBOX_ID),
    usage: async () => remote.usage(),
    prune: async () => remote.prune(),
    checkpoints: async () => remote.checkpoints.list(),
    images: async () => remote.images.list(),
    exposures: async () => remote.exposures.list(SANDBOX_ID),
    ssh: async () => remote.ssh.open(SANDBOX_ID, { hostName: "x" }),
    logs: async () => {
      for await (const line of remote.logs(SANDBOX_ID)) return line;
      return undefined;
    },
    events: async () => {
      for await (const event of remote.events()) return event;
      return undefined;
    },
  };
  for (const [name, call] of Object.entries(calls)) {
    await assert.rejects(call(), { code: "unsupported", message: /has only the published API/ }, name);
  }
});

test("a terminal, another user and a process in the background need more than the published protocol", async (t) => {
  const { remote, calls } = await openPublishedServer(t, { answer: LIST });
  await using sandbox = await remote.connect(SANDBOX_ID);
  const tty = { cols: 80, rows: 24 };
  await assert.rejects(sandbox.exec({ argv: ["sh"], tty }), { code: "unsupported" });
  await assert.rejects(sandbox.exec({ argv: ["sh"], user: "root" }), { code: "unsupported" });
  await assert.rejects(sandbox.start({ argv: ["sh"] }), { code: "unsupported" });
  await assert.rejects(sandbox.openTunnel({ port: 80 }), { code: "unsupported" });
  assert.deepEqual(calls, []);
});

test("the published service's sandboxes are where their region is", () => {
  const service = new Endpoints({ endpoint: "https://console.deno.com", token: "ddo_x", organisation: "acme" });
  assert.equal(service.webSocket("/api/v3/sandboxes/create"), "wss://ord.sandbox-api.deno.net/api/v3/sandboxes/create");
  assert.equal(service.sandboxes("/x", "sbx_ams_00000000000000000001").href, "https://ams.sandbox-api.deno.net/x");
  assert.equal(service.api("/api/v2/sandboxes").href, "https://console.deno.com/api/v2/sandboxes");
  assert.deepEqual(service.headers, { authorization: "Bearer ddo_x", "x-deno-org": "acme" });
});
