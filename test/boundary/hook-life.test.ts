/**
 * Hooks and rules in JavaScript for real: the examples do what they say in a virtual machine, a module that does not load
 * stops the command, and whatever happens to the process, no request goes on that a hook was to decide.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { cp, writeFile } from "node:fs/promises";
import path from "node:path";
import { eventually, processesOf, untilClean } from "../vm/support/leftovers.ts";
import { PROJECT_PATH } from "../vm/support/program.ts";
import type { EchoServer, SeenRequest } from "./support/echo-server.ts";
import { GuestClient } from "./support/guest-client.ts";
import { World } from "./support/world.ts";

const EXAMPLES = path.join(PROJECT_PATH, "examples", "hooks");
const ADDRESS = "93.184.216.80";
const HOST = "api.example.com";
const URL_OF_HOST = `https://${HOST}`;

/** All the examples at once, so that one sandbox is enough, and what can go wrong with a hook. */
const HOOK = `
import { onRequest as answerLocally } from "./answer-locally.ts";
import { onRequest as denyByPath } from "./deny-by-path.ts";
import { onRequest as rateLimit } from "./rate-limit.ts";
import { onRequest as redact } from "./redact.ts";

export const onRequest = async (request, context) => {
  const { hostname, pathname } = new URL(request.url);
  if (hostname === "limited.example.com") return rateLimit(request, context);
  if (hostname === "text.example.com") return redact(request, context);
  if (pathname === "/slow") return new Promise(() => undefined);
  if (pathname === "/loop") for (;;) {}
  return answerLocally(request, context) ?? denyByPath(request, context);
};
`;

let world: World;
let server: EchoServer;
let box: string;
let guest: GuestClient;

before(async () => {
  world = await World.open();
  for (const name of ["api", "limited", "text"]) world.names.set(`${name}.example.com`, ADDRESS);
  server = await world.serve({ address: ADDRESS, port: 443, identity: world.authority.identity("*.example.com") });
  await world.serve({ address: ADDRESS, port: 80 });
  await cp(EXAMPLES, world.home.scratch("hooks"), { recursive: true });
  await writeFile(world.home.scratch("hooks/all.ts"), HOOK);
  const options = ["--net", "open", "--ca-file", world.caFile];
  box = await world.home.create(...options, "--hook", world.home.scratch("hooks/all.ts"));
  guest = world.use(await GuestClient.start(world.home, box));
});
after(async () => world[Symbol.asyncDispose]());

/** Children of the supervisor that run a hook. */
async function hookPids(id: string): Promise<number[]> {
  const { supervisorPid } = await world.home.info(id);
  const children = readFileSync(`/proc/${supervisorPid}/task/${supervisorPid}/children`, "utf8");
  return children
    .split(" ")
    .filter((pid) => pid !== "" && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("hook"))
    .map(Number);
}

test("deny by path: reading anywhere and writing below one path, whatever way the path is written", async () => {
  assert.equal((await guest.request(`${URL_OF_HOST}/v1/anything`)).status, 200);
  const write = async (target: string) => guest.request(`${URL_OF_HOST}${target}`, { method: "POST", body: "x" });
  assert.equal((await write("/v1/drafts/1")).status, 200);
  for (const target of [
    "/v1/final/1",
    "/v1/drafts/../final/1",
    "/v1/drafts/%2e%2e/final/1",
    "/v1/drafts/%2e%2e%2ffinal",
  ]) {
    const before = server.seen.length;
    const { status, body } = await write(target);
    // Where a path can be read in several ways, no hook is asked.
    assert.match(`${status} ${body}`, /^403 .*do not retry|^502 .*\.\. segments/);
    assert.equal(server.seen.length, before, target);
  }
});

test("answer locally: the answer comes from the hook, and nothing leaves", async () => {
  const [before, connections] = [server.seen.length, server.connections];
  const { status, body } = await guest.request(`${URL_OF_HOST}/v1/models`);
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(body ?? ""), { data: [{ id: "model-1" }] });
  assert.deepEqual([server.seen.length, server.connections], [before, connections]);
});

test("redact: addresses are taken out of what leaves", async () => {
  const { body } = await guest.request("https://text.example.com/", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ from: "ann@example.com", text: "write to bob@example.org" }),
  });
  const { body: sent } = JSON.parse(body ?? "") as SeenRequest;
  assert.deepEqual(JSON.parse(sent), { from: "[e-mail]", text: "write to [e-mail]" });
});

test("rate limit: what comes too fast is answered with 429 and does not leave", async () => {
  const before = server.seen.length;
  const answers = await Promise.all(
    Array.from({ length: 100 }, async (_, at) => guest.request(`https://limited.example.com/${at}`)),
  );
  const statuses = answers.map(({ status }) => status);
  const limited = answers.filter(({ status }) => status === 429);
  assert.ok(limited.length >= 1, JSON.stringify(statuses));
  assert.equal(limited[0]?.headers?.["retry-after"], "1");
  assert.equal(server.seen.length - before, 100 - limited.length);
  assert.ok(
    statuses.every((status) => status === 200 || status === 429),
    JSON.stringify(statuses),
  );
});

test("a hook process that is killed between two requests is there again for the next one", async () => {
  const [pid] = await hookPids(box);
  assert.ok(pid);
  process.kill(pid, "SIGKILL");
  await eventually(async () => assert.notEqual((await hookPids(box))[0], pid));
  assert.equal((await guest.request(`${URL_OF_HOST}/v1/after`)).status, 200);
  assert.notEqual((await hookPids(box))[0], pid);
});

test("a hook process that is killed in the middle of a request refuses that one, and works again afterwards", async () => {
  const before = server.seen.length;
  const refused = guest.refused(`${URL_OF_HOST}/slow`);
  // Another request that was answered shows that the process has the slow one.
  assert.equal((await guest.request(`${URL_OF_HOST}/v1/models`)).status, 200);
  const [pid] = await hookPids(box);
  assert.ok(pid);
  process.kill(pid, "SIGKILL");
  const { status, error, message } = await refused;
  assert.deepEqual([status, error], [502, "hook_failed"]);
  assert.match(message, /the hook process was ended by SIGKILL/);
  assert.equal(server.seen.length, before);
  assert.equal((await guest.request(`${URL_OF_HOST}/v1/again`)).status, 200);
});

test("a hook that does not return, and one that loops, are refused when time is over, and others are served afterwards", async () => {
  const before = server.seen.length;
  const slow = await guest.refused(`${URL_OF_HOST}/slow`);
  assert.deepEqual([slow.status, slow.error], [502, "hook_failed"]);
  assert.match(slow.message, /10 s/);
  const looping = await guest.refused(`${URL_OF_HOST}/loop`);
  assert.deepEqual([looping.status, looping.error], [502, "hook_failed"]);
  assert.equal(server.seen.length, before);
  // What comes in the moment in which the loop is ended is refused with it.
  await eventually(async () => assert.equal((await guest.request(`${URL_OF_HOST}/v1/again`)).status, 200));
});

test("the hook's process ends with the sandbox", async () => {
  assert.equal((await guest.request(`${URL_OF_HOST}/v1/there`)).status, 200);
  const pids = await hookPids(box);
  assert.equal(pids.length, 1);
  const { supervisorPid } = await world.home.info(box);
  process.kill(supervisorPid ?? 0, "SIGKILL");
  await untilClean(world.home, { look: async () => world.home.sbx(["list"]) });
  assert.deepEqual(
    (await processesOf([EXAMPLES, world.home.path])).filter(({ pid }) => pids.includes(pid)),
    [],
  );
});

for (const [what, text, said] of [
  [
    "a syntax error",
    "export const onRequest = (request) => {\n  if (request.method ===) return;\n};\n",
    /SyntaxError|Unexpected token/,
  ],
  ["an enum", "enum A { B }\nexport const onRequest = () => undefined;\n", /enum/i],
  ["no hook in it", "export const onRequests = 1;\n", /onRequest/],
  [
    "an exception at its top",
    'export const onRequest = () => undefined;\nthrow new Error("not today");\n',
    /not today/,
  ],
  ["an import of nothing", 'import "./nowhere.ts";\nexport const onRequest = () => undefined;\n', /nowhere/],
] as const) {
  test(`a module with ${what} stops the command with status 2, its place and the message, and nothing is left`, async () => {
    const file = world.home.scratch("faulty.ts");
    await writeFile(file, text);
    const { status, stderr } = await world.home.sbx(["create", "--detach", "--hook", file]);
    assert.equal(status, 2, stderr);
    assert.ok(stderr.includes("faulty.ts"), stderr);
    assert.match(stderr, said);
    if (what === "a syntax error") assert.match(stderr, /faulty\.ts:2/);
    await untilClean(world.home);
    const left = readdirSync(world.home.paths.sandboxesPath);
    assert.deepEqual(
      left.filter((id) => readdirSync(path.join(world.home.paths.sandboxesPath, id)).includes("disk.qcow2")),
      [],
    );
  });
}

test("a rule that throws, loops or says nothing denies with the reason, and others are asked all the same", async () => {
  const id = await world.home.create(
    ...["--rule", "r.path === '/throw' ? r.nothing : r.path === '/text' ? 'yes' : false"],
    ...["--rule", "r.path === '/loop' ? (() => { for (;;) {} })() : r.path === '/well'", "--ca-file", world.caFile],
  );
  await using other = await GuestClient.start(world.home, id);
  const before = server.seen.length;
  for (const [target, said] of [
    ["/throw", /nothing/],
    ["/text", /./],
    ["/loop", /250 ms|too long|longer/],
    ["/else", /no rule allows/],
  ] as const) {
    const refused = await other.refused(`${URL_OF_HOST}${target}`);
    assert.equal(refused.status, 403, target);
    assert.match(refused.message, said);
    const { status } = await world.home.sbx(["net", "check", id, "GET", `${URL_OF_HOST}${target}`]);
    assert.equal(status, 1, target);
  }
  assert.equal(server.seen.length, before);
  assert.equal((await other.request(`${URL_OF_HOST}/well`)).status, 200);
});

test("a text that is no expression stops the command with status 2", async () => {
  const { status, stderr } = await world.home.sbx(["create", "--detach", "--rule", "r.method ==="]);
  assert.equal(status, 2);
  assert.match(stderr, /r\.method ===/);
});
