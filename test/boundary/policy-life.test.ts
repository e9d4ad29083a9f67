/**
 * The life of a policy on a running sandbox, by the program itself: what `sbx net check` says is what happens, `allow` and
 * `deny` count from the next moment on, and the log tells all of it, also when the sandbox is no more.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import type { AuditEvent } from "../../src/egress/audit-event.ts";
import type { CheckAnswer, NetView, RulesAnswer } from "../../src/protocol/net-calls.ts";
import { eventually } from "../vm/support/leftovers.ts";
import type { Answer } from "./support/echo-server.ts";
import { GuestClient, type GuestAnswer, type RequestOptions } from "./support/guest-client.ts";
import { TestListener } from "./support/test-listener.ts";
import { World } from "./support/world.ts";

const POLICY = `version: 1
net: none
allow:
  - a.example.com:443
  - host: api.example.com
    ports: 443
    methods: [GET, HEAD]
    paths: [/v1/**]
  - host: plain.example.com
    ports: 80
    methods: [POST]
  - 10.1.2.3:80
  - 10.2.0.0/16:80
  - host.sbx.internal:8099
  - late.example.com:5432
deny:
  - host: api.example.com
    paths: [/v1/admin/**]
  - b.example.com
  - 10.2.3.4
`;
const OTHER_HOSTS = ["a", "api", "plain", "b", "c", "late", "stream"].map((name) => `${name}.example.com`);
const PUBLIC = "93.184.216.40";
const DENIED = "93.184.216.41";
const PRIVATE = ["10.1.2.3", "10.2.3.3", "10.2.3.4", "10.9.9.9", "169.254.169.254"];

let world: World;
/** By the name that tables call it. */
const boxes = new Map<string, { id: string; guest: GuestClient }>();
let followed: ChildProcessWithoutNullStreams | undefined;
const lines: AuditEvent[] = [];

/** Server-sent events that never end, at `/stream`. */
const endless: Answer = (seen, response) => {
  if (seen.url !== "/stream") return false;
  response.setHeader("content-type", "text/event-stream");
  const timer = setInterval(() => void (response.write as (text: string) => boolean)("data: 1\n\n"), 100);
  response.once("close", () => clearInterval(timer));
  return true;
};

before(async () => {
  world = await World.open();
  for (const name of OTHER_HOSTS) world.names.set(name, name.startsWith("b.") ? DENIED : PUBLIC);
  world.names.set("inside.example.com", "10.9.9.9");
  const identity = world.authority.identity("*.example.com");
  await world.serve({ address: PUBLIC, port: 443, identity, answer: endless });
  await world.serve({ address: DENIED, port: 443, identity });
  for (const address of [PUBLIC, DENIED, ...PRIVATE]) await world.serve({ address, port: 80 });
  await world.serve({ address: "127.0.0.1", port: 8099 });
  world.use(
    await TestListener.start(
      createServer((socket) => socket.pipe(socket)),
      PUBLIC,
      5432,
    ),
  );
  const file = world.home.scratch("policy.yaml");
  await writeFile(file, POLICY);
  const ca = ["--ca-file", world.caFile];
  const made = await Promise.all([
    open("file", ["--net-file", file, ...ca]),
    open("open", ["--net", "open", "--deny-net", "b.example.com", ...ca]),
    open("script", [
      ...["--rule", "r.method === 'GET' && r.host === 'a.example.com'"],
      ...["--rule", "({ allow: r.path.startsWith('/drafts/'), message: 'drafts only; do not retry' })", ...ca],
    ]),
  ]);
  followed = world.home.start(["net", "log", made[0], "--follow", "--json"]);
  createInterface({ input: followed.stdout }).on("line", (line) => lines.push(JSON.parse(line) as AuditEvent));
});
after(async () => {
  followed?.kill("SIGKILL");
  await world[Symbol.asyncDispose]();
});

async function open(name: string, args: readonly string[]): Promise<string> {
  const id = await world.home.create(...args);
  boxes.set(name, { id, guest: world.use(await GuestClient.start(world.home, id)) });
  return id;
}

function box(name: string): { id: string; guest: GuestClient } {
  const found = boxes.get(name);
  assert.ok(found, `there is a sandbox called ${name}`);
  return found;
}

/** An upstream's own answer, and nothing else, is what "allowed" means. */
function arrived({ status, body = "" }: GuestAnswer): boolean {
  return status === 200 && (body === "" || body.startsWith('{"version"'));
}

interface Case {
  box: string;
  method?: string;
  url: string;
  verdict: "allow" | "deny";
  options?: RequestOptions;
}

const SCRIPT_CASES: readonly Case[] = [
  { box: "script", url: "https://a.example.com/", verdict: "allow" },
  { box: "script", url: "http://a.example.com/", verdict: "allow" },
  { box: "script", method: "POST", url: "https://a.example.com/", verdict: "deny" },
  { box: "script", method: "POST", url: "https://a.example.com/drafts/1", verdict: "allow" },
  { box: "script", url: "https://c.example.com/", verdict: "deny" },
  { box: "script", url: "https://c.example.com/drafts/../x", verdict: "deny" },
  { box: "script", url: "http://169.254.169.254/drafts/1", verdict: "deny" },
  { box: "script", url: "http://10.1.2.3/drafts/1", verdict: "deny" },
];

const CASES: readonly Case[] = [
  { box: "file", url: "https://a.example.com/anything?at=all", verdict: "allow" },
  { box: "file", method: "DELETE", url: "https://a.example.com/", verdict: "allow" },
  { box: "file", url: "http://a.example.com/", verdict: "deny" },
  { box: "file", url: "https://api.example.com/v1/models", verdict: "allow" },
  { box: "file", method: "HEAD", url: "https://api.example.com/v1/a/b", verdict: "allow" },
  { box: "file", method: "POST", url: "https://api.example.com/v1/models", verdict: "deny" },
  { box: "file", url: "https://api.example.com/v2/models", verdict: "deny" },
  { box: "file", url: "https://api.example.com/v1/admin/users", verdict: "deny" },
  { box: "file", url: "https://api.example.com/v1/%61dmin/users", verdict: "deny" },
  { box: "file", url: "https://api.example.com/v1/x/../admin/users", verdict: "deny" },
  { box: "file", url: "https://api.example.com/v1//admin/users", verdict: "deny" },
  { box: "file", method: "POST", url: "http://plain.example.com/", verdict: "allow" },
  { box: "file", url: "http://plain.example.com/", verdict: "deny" },
  { box: "file", url: "https://b.example.com/", verdict: "deny" },
  { box: "file", url: "https://c.example.com/", verdict: "deny" },
  { box: "file", url: "http://10.1.2.3/", verdict: "allow" },
  { box: "file", url: "http://10.2.3.3/", verdict: "allow" },
  { box: "file", url: "http://10.2.3.4/", verdict: "deny" },
  { box: "file", url: "http://10.9.9.9/", verdict: "deny" },
  { box: "file", url: "http://169.254.169.254/latest/meta-data/", verdict: "deny" },
  { box: "file", url: "http://host.sbx.internal:8099/", verdict: "allow" },
  { box: "file", url: "http://host.sbx.internal:8098/", verdict: "deny" },
  { box: "open", url: "https://a.example.com/", verdict: "allow" },
  { box: "open", url: `http://${PUBLIC}/`, verdict: "allow" },
  { box: "open", url: "https://b.example.com/", verdict: "deny" },
  { box: "open", url: "http://10.1.2.3/", verdict: "deny" },
  { box: "open", url: "http://169.254.169.254/", verdict: "deny" },
  { box: "open", url: "http://host.sbx.internal:8099/", verdict: "deny" },
  ...SCRIPT_CASES,
];

for (const { box: name, method = "GET", url, verdict } of CASES) {
  test(`check and enforcement agree: ${name} ${method} ${url} is ${verdict === "allow" ? "allowed" : "denied"}`, async () => {
    const { id, guest } = box(name);
    const [{ status, stdout }, answer] = await Promise.all([
      world.home.sbx(["net", "check", id, method, url, "--json"]),
      guest.request(url, { method }),
    ]);
    const { decision } = JSON.parse(stdout) as CheckAnswer;
    assert.equal(decision.verdict, verdict, stdout);
    assert.equal(status, verdict === "allow" ? 0 : 1);
    assert.equal(arrived(answer), verdict === "allow", JSON.stringify(answer));
    if (answer.status !== 403) return;
    const body = JSON.parse(answer.body ?? "") as { rule: string | null; message: string; fix?: string };
    assert.equal(body.rule, decision.rule?.text ?? null);
    assert.equal(body.message, decision.reason);
    const fix = decision.fix?.map((word) => (word === "SANDBOX" ? id : word));
    assert.equal(body.fix, fix === undefined ? undefined : ["sbx", ...fix].join(" "));
  });
}

test("a name that is allowed and resolves to a private address is denied, with the address named, and so says check", async () => {
  const url = "http://inside.example.com/";
  const { id, guest } = box("open");
  const check = await world.home.sbx(["net", "check", id, url]);
  assert.equal(check.status, 1);
  assert.match(check.stdout, /^denied[^]* resolves to 10\.9\.9\.9, [^]* 10\.9\.9\.9:80$/m);
  assert.equal((await guest.request(url)).error, "ConnectionRefusedError");
  const denial = (await readLog(id)).find(({ host, verdict }) => host === "inside.example.com" && verdict === "deny");
  assert.match(denial?.reason ?? "", /^inside\.example\.com resolves to 10\.9\.9\.9, /);
  assert.deepEqual(denial?.fix, ["net", "allow", "SANDBOX", "10.9.9.9:80"]);
  // Where the request is read, the program is told as well.
  const refused = await box("script").guest.refused(`${url}drafts/1`);
  assert.equal(refused.status, 403);
  assert.equal(refused.message, denial.reason);
});

test("with --net open a name that is denied is not reached by its address either, neither by SNI nor by Host", async () => {
  const { guest } = box("open");
  const byName = await guest.request("https://b.example.com/", { address: DENIED });
  assert.equal(byName.status, undefined, JSON.stringify(byName));
  const inUpperCase = await guest.request("https://b.example.com/", { address: DENIED, serverName: "B.Example.COM" });
  assert.equal(inUpperCase.status, undefined, JSON.stringify(inUpperCase));
  for (const host of ["b.example.com", "B.example.com.", "b.example.com:80"]) {
    const byHost = await guest.request(`http://${DENIED}/`, { headers: { Host: host } });
    assert.equal(byHost.status, 421, JSON.stringify(byHost));
  }
  const another = await guest.request("https://c.example.com/", { address: PUBLIC });
  assert.equal(another.status, 200, "an address with a name that nothing denies is public");
});

test("show says every rule with its source", async () => {
  const { id } = box("file");
  const view = JSON.parse(await world.home.must(["net", "show", id, "--json"])) as NetView;
  assert.equal(view.mode, "none");
  const texts = view.rules.map(({ verdict, text }) => `${verdict} ${text}`);
  assert.ok(texts.includes("allow api.example.com:443 GET,HEAD /v1/**"), texts.join("\n"));
  const [first] = view.rules;
  assert.deepEqual({ ...first?.source, path: "" }, { kind: "file", path: "", line: 4 });
  const shown = await world.home.must(["net", "show", id]);
  assert.match(shown, /deny\s+b\.example\.com\s+\S*policy\.yaml:1\d/);
  const scripted = await world.home.must(["net", "show", box("script").id]);
  assert.match(scripted, /drafts only/);
});

test("allow takes effect on the very next connection, and log and show say that it was a command", async () => {
  const { id, guest } = box("file");
  const before = await guest.request("https://c.example.com/");
  assert.equal(before.error, "gaierror -3", JSON.stringify(before));
  const answer = JSON.parse(await world.home.must(["net", "allow", id, "c.example.com", "--json"])) as RulesAnswer;
  assert.deepEqual(answer.stillDenied, []);
  assert.equal((await guest.request("https://c.example.com/")).status, 200);
  assert.match(await world.home.must(["net", "show", id]), /allow\s+c\.example\.com\s+command of 20/);
  await eventually(() =>
    assert.ok(
      lines.some(({ kind, verdict, host }) => kind === "change" && verdict === "allow" && host === "c.example.com"),
    ),
  );
});

test("allow of what a rule denies says so and ends with 1", async () => {
  const { id } = box("file");
  const { status, stdout, stderr } = await world.home.sbx(["net", "allow", id, "b.example.com"]);
  assert.equal(status, 1);
  assert.match(stdout + stderr, /b\.example\.com is still denied: /);
});

test("deny cuts a connection that is open, and the program sees a reset", async () => {
  const { id, guest } = box("file");
  assert.deepEqual(await guest.ask("open", { name: "late", host: "late.example.com", port: 5432 }), {});
  await guest.ask("send", { name: "late", text: "hello" });
  assert.deepEqual(await guest.ask("read", { name: "late" }), { body: "hello" });
  const reading = guest.ask("read", { name: "late", timeout: 60 });
  await world.home.must(["net", "deny", id, "late.example.com"]);
  assert.deepEqual(await reading, { error: "ConnectionResetError" });
  assert.equal((await guest.request("http://late.example.com:5432/")).stage, "connect");
});

test("deny cuts a response that is being read, too", async () => {
  const { id, guest } = box("script");
  const streaming = guest.request("https://a.example.com/stream", { timeout: 60 });
  await eventually(async () => {
    const { counters } = JSON.parse(await world.home.must(["net", "show", id, "--json"])) as NetView;
    assert.ok(counters.openFlows > 0);
  });
  await world.home.must(["net", "deny", id, "a.example.com"]);
  const { status, error } = await streaming;
  assert.equal(status, 200);
  assert.ok(error !== undefined && error !== "TimeoutError", `the program saw ${error}`);
  const events = await readLog(id);
  assert.ok(
    events.some(
      ({ verdict, host, reason = "" }) =>
        verdict === "deny" && host === "a.example.com" && /deny a\.example/.test(reason),
    ),
    "the log says that it was denied",
  );
});

test("the log told every attempt as it happened, with the rule and the way out", async () => {
  await eventually(() => {
    const denied = lines.filter(({ verdict }) => verdict === "deny");
    const unnamed = denied.find(({ kind, host }) => kind === "dns" && host === "c.example.com");
    assert.deepEqual(unnamed?.fix, ["net", "allow", "SANDBOX", "c.example.com"]);
    const post = denied.find(({ method, host }) => method === "POST" && host === "api.example.com");
    assert.match(post?.reason ?? "", /is not among the requests that/);
    assert.equal(post?.status, 403);
    const admin = denied.find(({ url = "" }) => url.endsWith("/v1/admin/users"));
    assert.match(admin?.rule?.text ?? "", /api\.example\.com/);
    assert.equal(admin?.fix, null);
    const address = denied.find(({ host }) => host === "169.254.169.254");
    assert.equal(address?.port, 80);
  });
  const read = lines.find(({ kind, url = "" }) => kind === "request" && url.includes("/v1/models"));
  assert.equal(read?.verdict, "allow");
  assert.match(read.rule?.text ?? "", /GET,HEAD/);
  const queried = lines.filter(({ url = "" }) => url.includes("?"));
  assert.ok(
    queried.every(({ url = "" }) => !url.includes("all")),
    "values of a query are not in it",
  );
});

test("the log ends with the sandbox, stays readable, and leaves damaged lines out", async () => {
  const { id } = box("file");
  const ended = new Promise<number | null>((resolve) => followed?.once("close", (code) => resolve(code)));
  await world.home.must(["kill", id]);
  assert.equal(await ended, 0);
  const events = await readLog(id);
  assert.deepEqual(events, lines, "what was followed is what is kept");
  const file = path.join(world.home.paths.sandboxesPath, id, "net.log");
  const [first = ""] = (await readFile(file, "utf8")).split("\n");
  await appendFile(file, `${first.slice(0, 20)}\n{"time":1,"kind":"nothing"}\n\u001b[31mred\n${first}\n`);
  const { status, stdout, stderr } = await world.home.sbx(["net", "log", id, "--json"]);
  assert.equal(status, 0);
  assert.equal(stdout.trimEnd().split("\n").length, events.length + 1);
  assert.match(stderr, /3 damaged lines were left out/);
});

async function readLog(id: string): Promise<AuditEvent[]> {
  const text = await world.home.must(["net", "log", id, "--json"]);
  return text.split("\n").map((line) => JSON.parse(line) as AuditEvent);
}

test("--net none reaches nothing, and --net balanced reaches the hosts that it prints and no other", async () => {
  const groups = JSON.parse(await world.home.must(["net", "presets", "balanced", "--json"])) as {
    groups: { hosts: string[] }[];
  };
  const host = groups.groups.flatMap(({ hosts }) => hosts).find((name) => !name.startsWith("*") && !name.includes(":"));
  assert.ok(host);
  await world.https(host, "93.184.216.50");
  const [balanced, none] = await Promise.all(
    ["balanced", "none"].map((mode) => world.home.create("--net", mode, "--ca-file", world.caFile)),
  );
  const fetch = async (id = "", url = "") =>
    world.home.sbx(["exec", id, "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url]);
  assert.equal((await fetch(balanced, `https://${host}/`)).stdout, "200");
  assert.equal((await fetch(balanced, "https://a.example.com/")).status, 6);
  assert.equal((await fetch(none, `https://${host}/`)).status, 6);
  assert.equal((await fetch(none, `http://${PUBLIC}/`)).status, 7);
});
