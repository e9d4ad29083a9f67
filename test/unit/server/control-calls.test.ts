/** What the control plane has beyond the published API: `POST /api/sbx/v1/NAME` (docs/protocol-control.md). */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { HOUR_MS, NOTHING } from "../../../src/metering/amounts.ts";
import { test } from "node:test";
import { IMAGE_CALLS } from "../../../src/protocol/control-calls-images.ts";
import { SANDBOX_CALLS } from "../../../src/protocol/control-calls-sandboxes.ts";
import { CONTROL_CALL_NAMES, CONTROL_CALLS } from "../../../src/protocol/control-calls.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { openBench, type ServerBench } from "./harness.ts";

const about = async ({ call }: ServerBench, token?: string): Promise<unknown> =>
  (await call("GET", "/api/sbx/v1/about", token === undefined ? {} : { token })).body;

const post = async ({ call }: ServerBench, name: string, body: object, token?: string) =>
  call("POST", `/api/sbx/v1/${name}`, { body, ...(token === undefined ? {} : { token }) });

/** The answer of a call in lines, as it comes. */
async function open(bench: ServerBench, name: string, body: object): Promise<IncomingMessage> {
  const sent = request(`${bench.url}/api/sbx/v1/${name}`, {
    method: "POST",
    headers: { authorization: `Bearer ${bench.token}` },
  });
  sent.end(JSON.stringify(body));
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  return answer;
}

async function linesOf(answer: IncomingMessage): Promise<unknown[]> {
  let text = "";
  for await (const chunk of answer as AsyncIterable<Buffer>) text += chunk.toString();
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as unknown);
}

test("the calls are these, with these scopes and ways to answer", () => {
  assert.deepEqual(
    CONTROL_CALL_NAMES.map((name) => `${CONTROL_CALLS[name].scope}: ${name}, ${CONTROL_CALLS[name].answer}`)
      .filter((line) => Object.keys({ ...SANDBOX_CALLS, ...IMAGE_CALLS }).some((name) => line.includes(`: ${name},`)))
      .sort(),
    [
      "read: checkpoint.get, value",
      "read: checkpoint.list, value",
      "read: event.list, items",
      "read: exposure.list, value",
      "read: image.get, value",
      "read: image.list, value",
      "read: sandbox.get, value",
      "read: sandbox.list, value",
      "read: sandbox.logs, items",
      "read: usage.list, value",
      "sandboxes: checkpoint.create, progress",
      "sandboxes: checkpoint.remove, value",
      "sandboxes: exposure.add, value",
      "sandboxes: exposure.remove, value",
      "sandboxes: prune.run, value",
      "sandboxes: sandbox.extend, value",
      "sandboxes: sandbox.fork, progress",
      "sandboxes: sandbox.pause, value",
      "sandboxes: sandbox.remove, value",
      "sandboxes: sandbox.resume, value",
    ],
  );
});

test("a server says what it has, what the token is good for and what its organisation may have", async (t) => {
  const bench = await openBench(t, { organisations: { acme: { quotas: { sandboxes: 2 } } } });
  const token = bench.makeToken({ organisations: ["acme"], scopes: ["read"] });
  const body = (await about(bench, token)) as { features: string[]; limits: Record<string, number>; scopes: string[] };
  assert.deepEqual(body.scopes, ["read"]);
  assert.equal(body.limits["sandboxes"], 2);
  assert.ok(CONTROL_CALL_NAMES.every((name) => body.features.includes(name)));
  const { status, headers } = await bench.call("GET", "/api/sbx/v1/about", { token: "ddo_wrong" });
  assert.deepEqual([status, headers.get("x-sbx-control")], [401, "1"]);
  assert.equal((await bench.call("GET", "/api/v2/sandboxes")).headers.get("x-sbx-control"), null);
});

test("a sandbox is found by its name or its beginning, and nothing is told of the server's processes", async (t) => {
  const bench = await openBench(t);
  bench.runtime.sandboxes = [sandboxInfo({ name: "web" })];
  const { body } = await post(bench, "sandbox.get", { ref: "we" });
  assert.deepEqual(body, { ...sandboxInfo({ name: "web" }), supervisorPid: null, vmPid: null });
});

test("an error tells a client of sbx's own code and hint, and nobody of what is the server's own", async (t) => {
  const bench = await openBench(t);
  const missing = await post(bench, "sandbox.get", { ref: "nobody" });
  assert.equal(missing.status, 404);
  assert.deepEqual((missing.body as { sbx: unknown }).sbx, { code: "sandbox_not_found", hint: "sbx list" });
  bench.runtime.failures.set("pause", new SbxError("state_broken", "/secret/path is damaged", { hint: "rm /secret" }));
  bench.runtime.sandboxes = [sandboxInfo()];
  const broken = await post(bench, "sandbox.pause", { ref: sandboxInfo().id });
  assert.equal(broken.status, 500);
  assert.doesNotMatch(JSON.stringify(broken.body), /secret/);
  assert.match(bench.log(), /\/secret\/path is damaged/);
});

test("a call of an organisation finds nothing of another one, by whatever name", async (t) => {
  const bench = await openBench(t);
  bench.runtime.sandboxes = [sandboxInfo({ name: "web" })];
  const token = bench.makeToken({ organisations: ["acme"] });
  for (const name of CONTROL_CALL_NAMES.filter((call) => !call.startsWith("image."))) {
    for (const ref of [sandboxInfo().id, "web", "sbx_"]) {
      const { body } = await post(bench, name, { ref, sandbox: ref, count: 1, lifetimeMs: 1000 }, token);
      assert.doesNotMatch(JSON.stringify(body), /createdAt/, name);
    }
  }
  assert.deepEqual(
    bench.runtime.calls.map(({ method }) => method),
    [],
  );
});

test("a token that only reads changes nothing, and parameters that do not fit are refused before anything happens", async (t) => {
  const bench = await openBench(t);
  bench.runtime.sandboxes = [sandboxInfo()];
  const reader = bench.makeToken({ scopes: ["read"] });
  for (const name of CONTROL_CALL_NAMES.filter((call) => CONTROL_CALLS[call].scope !== "read")) {
    const { status, body } = await post(bench, name, { ref: sandboxInfo().id }, reader);
    assert.deepEqual([status, (body as { code: string }).code], [403, "INSUFFICIENT_SCOPE"], name);
  }
  const bad = [
    ["sandbox.extend", { ref: "web", ms: -1 }],
    ["sandbox.fork", { ref: "web", count: 1e9, lifetimeMs: 1 }],
    ["sandbox.get", { ref: "x".repeat(1000) }],
    ["event.list", { types: ["sandbox.exploded"] }],
    ["sandbox.list", { labels: { a: 1 } }],
  ] as const;
  for (const [name, params] of bad) assert.equal((await post(bench, name, params)).status, 400, name);
  assert.deepEqual(bench.runtime.calls, []);
});

test("copies count against the organisation's sandboxes, memory and rate, all of them or none", async (t) => {
  const bench = await openBench(t, { quotas: { sandboxes: 3, lifetime: "10m", creationsPerMinute: 8 } });
  bench.runtime.sandboxes = [sandboxInfo()];
  const fork = async (count: number) =>
    post(bench, "sandbox.fork", { ref: sandboxInfo().id, count, lifetimeMs: 3_600_000 });
  const tooMany = await fork(3);
  assert.match(String(tooMany.body), /"TOO_MANY_SANDBOXES"/);
  const made = await fork(2);
  assert.match(String(made.body), /^\{"result":/m);
  const spec = bench.runtime.calls.find(({ method }) => method === "fork")?.args[1] as { lifetimeMs: number };
  assert.equal(spec.lifetimeMs, 600_000);
  assert.match(String((await fork(5)).body), /"RATE_LIMITED"/);
});

test("copies may use what is left of the organisation's month, whatever their source might", async (t) => {
  const bench = await openBench(t, { quotas: { cpuTimePerMonth: "2h" } });
  bench.runtime.sandboxes = [sandboxInfo()];
  const row = { kind: "sandbox" as const, id: "a", name: null, labels: {}, app: null, bucket: 0 };
  bench.runtime.meteredUsage = [{ ...row, amounts: { ...NOTHING, cpuMs: HOUR_MS } }];
  await post(bench, "sandbox.fork", { ref: sandboxInfo().id, count: 1, lifetimeMs: 60_000 });
  const spec = bench.runtime.calls.find(({ method }) => method === "fork")?.args[1] as { budget: unknown };
  assert.deepEqual(spec.budget, [{ kind: "cpu", ms: HOUR_MS }]);
});

test("checkpoints are kept up to the organisation's number", async (t) => {
  const bench = await openBench(t, { quotas: { checkpoints: 1 } });
  bench.runtime.sandboxes = [sandboxInfo()];
  const create = async (name: string) => post(bench, "checkpoint.create", { ref: sandboxInfo().id, name });
  assert.match(String((await create("one")).body), /^\{"result":/m);
  assert.match(String((await create("two")).body), /"QUOTA_EXCEEDED"/);
});

test("items come one a line, and the last line says that they are all", async (t) => {
  const bench = await openBench(t);
  bench.runtime.sandboxes = [sandboxInfo()];
  bench.runtime.logLines = [{ time: 1, source: "console", text: "hello" }];
  const answer = await open(bench, "sandbox.logs", { ref: sandboxInfo().id, tail: 5 });
  assert.equal(answer.headers["content-type"], "application/x-ndjson");
  assert.deepEqual(await linesOf(answer), [{ item: { time: 1, source: "console", text: "hello" } }, { end: true }]);
});

test("an organisation follows so many at one time, and what is over makes room", async (t) => {
  const bench = await openBench(t);
  bench.runtime.sandboxes = [sandboxInfo()];
  const follow = async () => open(bench, "event.list", { follow: true });
  const answers = await Promise.all(Array.from({ length: 200 }, follow));
  const refused = await linesOf(await follow());
  assert.equal((refused[0] as { error: { code: string } }).error.code, "QUOTA_EXCEEDED");
  for (const answer of answers) answer.destroy();
  let last: unknown[] = [];
  const listOnce = async (): Promise<unknown[]> => linesOf(await open(bench, "event.list", {}));
  while (JSON.stringify(last) !== '[{"end":true}]') last = await listOnce();
});

test("whoever follows is told when the token no longer holds, and the answer ends", async (t) => {
  const bench = await openBench(t);
  bench.runtime.sandboxes = [sandboxInfo()];
  bench.runtime.logLines = [{ time: 1, source: "console", text: "hello" }];
  const answer = await open(bench, "sandbox.logs", { ref: sandboxInfo().id, follow: true });
  bench.tokens.revoke(bench.tokens.list()[0]?.id ?? "");
  const lines = await linesOf(answer);
  assert.deepEqual(Object.keys(lines.at(-1) as object), ["error"]);
});

test("a client that hangs up ends what it followed, and nothing of it is a failure of the server's", async (t) => {
  const bench = await openBench(t);
  bench.runtime.sandboxes = [sandboxInfo()];
  const answer = await open(bench, "event.list", { follow: true });
  answer.destroy();
  while (!bench.log().includes("event.list")) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.doesNotMatch(bench.log(), /"level":"error"/);
});

test("the logs of supervisor and machine are the operator's: another organisation sees what its guest says", async (t) => {
  const bench = await openBench(t);
  const acme = bench.organisations.of("acme");
  acme.sandboxes = [sandboxInfo()];
  const token = bench.makeToken({ organisations: ["acme"] });
  const { status, body } = await post(bench, "sandbox.logs", { ref: sandboxInfo().id, sources: ["vm"] }, token);
  assert.deepEqual([status, (body as { code: string }).code], [501, "UNSUPPORTED"]);
  await post(bench, "sandbox.logs", { ref: sandboxInfo().id }, token);
  const [asked] = acme.calls.filter(({ method }) => method === "logs");
  assert.deepEqual((asked?.args[1] as { sources: string[] }).sources, ["console", "process"]);
});
