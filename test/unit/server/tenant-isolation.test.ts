/**
 * What one organisation has makes no difference to another one: two servers, of which only the first has an organisation
 * `acme` with things of every kind, are sent the same requests of `local`'s, on every route that there is, with every name
 * of acme's. Their answers are equal, and nothing of acme's is looked at.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { ROUTES } from "../../../src/server/api/routes.ts";
import { snapshotInfo, volumeInfo } from "../../fake-disks.ts";
import { sandboxInfo, type FakeRuntime } from "../../fake-runtime.ts";
import { anyRequest, type AnyRequest } from "./any-request.ts";
import { configHeader, openBench, rawRequest, SANDBOX_ID, upgradeLines, type ServerBench } from "./harness.ts";

/** Of acme's: ids, names, beginnings of both. */
const THEIRS = [
  ...[SANDBOX_ID, SANDBOX_ID.slice(0, 20), "their-box", "their"],
  ...["vol_loc_00000000000000000001", "their-data", "snp_loc_00000000000000000001", "their-snap"],
  ...["their-app", "their-layer", "their-checkpoint", "builtin:debian-13"],
  Buffer.from(JSON.stringify([1_700_000_000_000, SANDBOX_ID])).toString("base64url"),
];
/** Of nobody's, and what no name is. */
const NOBODYS = ["sbx_loc_zzzzzzzzzzzzzzzzzzzz", "nothing", "..", ".", "%2e%2e", "acme", "local", "\0", "'", "$", "é"];

/** What a client says of itself, or of somebody else. */
const HEADERS: readonly Record<string, string>[] = [
  {},
  { "x-deno-org": "acme" },
  { "x-deno-org": "local" },
  { cookie: "org=acme; token=acme" },
  { "x-forwarded-host": "acme.example", "x-forwarded-for": "127.0.0.1", forwarded: "host=acme.example" },
  { "x-original-url": `/api/v3/sandbox/${SANDBOX_ID}`, "x-rewrite-url": "/api/v2/volumes/their-data" },
  { "x-http-method-override": "DELETE" },
  { "x-sbx-organisation": "acme", "x-sbx-primary": "x", "x-sbx-extensions": "1" },
];

const SEED = Number(process.env["SBX_TEST_SEED"] ?? 20_26);

interface Pair {
  real: ServerBench;
  twin: ServerBench;
  acme: FakeRuntime;
  /** What is acme's, and came of its use of the server. */
  names: string[];
  /** What has been asked of acme's runtime since. */
  touched: string[];
}

async function openPair(t: TestContext): Promise<Pair> {
  const config = { quotas: { creationsPerMinute: 100_000, volumes: "1000000GB" } };
  const [real, twin] = [
    await openBench(t, config, { withDoors: true }),
    await openBench(t, config, { withDoors: true }),
  ];
  const { runtime: acme, touched } = watch(real, "acme");
  acme.sandboxes = [sandboxInfo({ id: SANDBOX_ID, name: "their-box", labels: { team: "theirs" } })];
  acme.volumes.volumes = [volumeInfo({ id: "vol_loc_00000000000000000001", slug: "their-data" })];
  acme.snapshots.snapshots = [snapshotInfo({ id: "snp_loc_00000000000000000001", slug: "their-snap" })];
  for (const { runtime } of [real, twin]) {
    runtime.sandboxes = [sandboxInfo({ id: "sbx_loc_m0000000000000000000", name: "mine" })];
    runtime.volumes.volumes = [volumeInfo({ id: "vol_loc_m0000000000000000000", slug: "my-data" })];
  }
  const names = await useServer(real);
  touched.splice(0);
  return { real, twin, acme, names, touched };
}

/** An organisation's runtime, and every property of it that somebody asks for. */
function watch({ organisations }: ServerBench, name: string): { runtime: FakeRuntime; touched: string[] } {
  const runtime = organisations.of(name);
  const touched: string[] = [];
  const watched = new Proxy(runtime, {
    get(target, key) {
      touched.push(String(key));
      const value: unknown = Reflect.get(target, key);
      // A fake's own fields are not the proxy's.
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  organisations.runtimes.set(name, watched);
  return { runtime, touched };
}

/** Acme's own use of the server leaves records of the server's. Returns the names in them. */
async function useServer({ call, makeToken }: ServerBench): Promise<string[]> {
  const token = makeToken({ organisations: ["acme"] });
  const requests: [path: string, body: object][] = [
    [`/api/v3/sandbox/${SANDBOX_ID}/expose/http`, {}],
    [`/api/v3/sandbox/${SANDBOX_ID}/expose/ssh`, {}],
    ["/api/v2/apps", { slug: "their-app" }],
    ["/api/v2/layers", { slug: "their-layer" }],
    ["/api/sbx/v1/checkpoint.create", { ref: SANDBOX_ID, name: "their-checkpoint" }],
    ["/api/sbx/v1/exposure.add", { ref: SANDBOX_ID, guestPort: 3000 }],
  ];
  const names: string[] = [];
  for (const [path, body] of requests) {
    const answer = await call("POST", path, { token, body });
    assert.ok(answer.status === 200 || answer.status === 201, `${path}: ${JSON.stringify(answer.body)}`);
    for (const key of ["domain", "username", "id"]) {
      const value = (answer.body as Record<string, unknown>)[key];
      if (typeof value === "string") names.push(value, value.split(".")[0] ?? "");
    }
  }
  return names;
}

/** A revision is built while others ask. */
const BUILD_STATE =
  /"status":"(?:queued|building|failed)","failure_reason":(?:null|"error"),|"build_finished_at":[^,]+,/g;

/** Whatever of an answer may differ between two servers: times of day, traces, random ids, ports. */
async function ask(
  bench: ServerBench,
  request: AnyRequest,
  headers: Record<string, string>,
): Promise<{ status: number; headers: string[]; text: string }> {
  const { method, target, body } = request;
  const answer = await bench.call(method, target, { headers, ...(body === undefined ? {} : { body }) });
  const plain = [...answer.headers]
    .filter(([name]) => !["x-deno-trace-id", "date", "content-length"].includes(name))
    .map(([name, value]) => `${name}: ${value}`);
  const text = typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body);
  const masked = withoutChance(text).replaceAll(BUILD_STATE, "");
  return { status: answer.status, headers: plain.map(withoutChance), text: masked };
}

/** Ports, and names that are drawn: 128 bits in base 32. */
function withoutChance(text: string): string {
  return text.replaceAll(/127\.0\.0\.1:\d+|\b[a-z2-7]{26}\b|localhost:\d+|(?<=[pP]ort":)\d+/g, "CHANCE");
}

/** Returns the status. */
async function assertEqual(
  { real, twin }: Pair,
  request: AnyRequest,
  headers: Record<string, string> = {},
): Promise<number> {
  const title = `${request.method} ${request.target} ${JSON.stringify(request.body)} ${JSON.stringify(headers)}`;
  const answer = await ask(real, request, headers);
  assert.deepEqual(answer, await ask(twin, request, headers), title);
  return answer.status;
}

/** The head of the answer to a handshake. */
async function shakeHands({ url, token }: ServerBench, path: string, more: string[]): Promise<string> {
  const { head, socket } = await rawRequest(url, upgradeLines(path, token, more));
  socket.destroy();
  return head.replace(/x-deno-trace-id: \w+/, "");
}

function stateOf({ acme: { sandboxes, volumes, snapshots, calls } }: Pair): string {
  return JSON.stringify([sandboxes, volumes, snapshots, calls]);
}

test("on every route, with every name of another organisation's, the answer is that for a name which never was", async (t) => {
  const pair = await openPair(t);
  const before = stateOf(pair);
  const understood = new Set<string>();
  for (const route of ROUTES) {
    const key = `${route.method} ${route.path}`;
    for (const name of [...pair.names, ...THEIRS, ...NOBODYS]) {
      const numRuns = understood.has(key) ? 1 : 4;
      for (const request of fc.sample(anyRequest(route, [name]), { numRuns, seed: SEED })) {
        if ((await assertEqual(pair, request)) !== 400) understood.add(key);
      }
    }
  }
  assert.equal(stateOf(pair), before);
  assert.deepEqual(pair.touched, []);
  // A route whose requests are never understood is not tried at all: test/unit/server/any-request.ts has to learn of it.
  assert.deepEqual(
    ROUTES.map(({ method, path }) => `${method} ${path}`).filter((key) => !understood.has(key)),
    [],
  );
});

test("whatever a client does in whatever order, with whatever headers, another organisation makes no difference", async (t) => {
  const pair = await openPair(t);
  const before = stateOf(pair);
  const request = fc.oneof(...ROUTES.map((route) => anyRequest(route, [...pair.names, ...THEIRS, ...NOBODYS])));
  await fc.assert(
    fc.asyncProperty(request, fc.constantFrom(...HEADERS), async (one, headers) => {
      await assertEqual(pair, one, headers);
    }),
    { numRuns: 1000, seed: SEED },
  );
  assert.equal(stateOf(pair), before);
  assert.deepEqual(pair.touched, []);
});

test("a WebSocket to another organisation's sandbox, or a sandbox with its disks, is asked for in vain", async (t) => {
  const pair = await openPair(t);
  const before = stateOf(pair);
  const wishes = [...THEIRS, ...NOBODYS].flatMap((name): [string, object?][] => [
    [`/api/v3/sandbox/${encodeURIComponent(name)}/connect`],
    ["/api/v3/sandboxes/create", { root: name }],
    ["/api/v3/sandboxes/create", { volumes: { "/data": name } }],
    ["/api/v3/sandboxes/create", { volumes: [{ volume: name, path: "/data" }], root: { volume: name } }],
  ]);
  for (const [path, config] of wishes) {
    const more = config === undefined ? [] : [`x-deno-sandbox-config: ${configHeader(config)}`];
    const head = await shakeHands(pair.real, path, more);
    assert.equal(head, await shakeHands(pair.twin, path, more), `${path} ${JSON.stringify(config)}`);
    assert.match(head, /^HTTP\/1\.1 4\d\d /);
  }
  assert.equal(stateOf(pair), before);
  assert.deepEqual(pair.touched, []);
});
