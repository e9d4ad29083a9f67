/**
 * One story: whatever is denied, the program in the guest, the audit log and the user at the terminal are told the same:
 * what, which rule, and the command that allows it. The command, run as it was told, allows it.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import type { AuditEvent } from "../../src/egress/audit-event.ts";
import type { NetDenial, NetView } from "../../src/protocol/net-calls.ts";
import { eventually } from "../vm/support/leftovers.ts";
import { CLIENT_PATH, GuestClient, type GuestAnswer, type RequestOptions } from "./support/guest-client.ts";
import { World } from "./support/world.ts";

const box = "story";
const PUBLIC = "93.184.216.60";
const ELSEWHERE = "93.184.216.61";
const INSIDE = "10.7.7.7";

const POLICY = `version: 1
allow:
  - host: read.example.com
    methods: [GET]
    paths: [/v1/**]
  - inside.example.com
  - tunnel.example.com
  - hooked.example.com
  - secret.example.com
deny:
  - never.example.com
  - host: read.example.com
    paths: [/v1/private/**]
`;
const HOOK = `export const onRequest = (request) => {
  const { hostname, pathname } = new URL(request.url);
  if (hostname !== "hooked.example.com") return undefined;
  if (pathname === "/no") return new Response("not from here\\n", { status: 403 });
  if (pathname === "/throw") throw new Error("the hook is in two minds");
  return undefined;
};
`;

let world: World;
let guest: GuestClient;

before(async () => {
  world = await World.open();
  for (const name of ["read", "tunnel", "hooked", "secret", "new", "never"]) {
    world.names.set(`${name}.example.com`, PUBLIC);
  }
  world.names.set("inside.example.com", INSIDE);
  const identity = world.authority.identity("*.example.com");
  for (const address of [PUBLIC, INSIDE]) await world.serve({ address, port: 443, identity });
  await world.serve({ address: INSIDE, port: 80 });
  await world.serve({ address: ELSEWHERE, port: 7000 });
  const [policy, hook] = [world.home.scratch("policy.yaml"), world.home.scratch("hook.mjs")];
  await writeFile(policy, POLICY);
  await writeFile(hook, HOOK);
  guest = await GuestClient.startWith(world.home, [
    ...["run", "--name", box, "--copy", CLIENT_PATH, "--net-file", policy, "--hook", hook],
    ...["--secret", "API_KEY@secret.example.com", "--ca-file", world.caFile, "--", "python3", "/app/client.py"],
  ]);
  world.use(guest);
});
after(async () => world[Symbol.asyncDispose]());

async function events(): Promise<AuditEvent[]> {
  const text = await world.home.must(["net", "log", box, "--json"]);
  return text === "" ? [] : text.split("\n").map((line) => JSON.parse(line) as AuditEvent);
}

/** What the log says of a denial, once it is there. */
async function denialOf(fits: (event: AuditEvent) => boolean): Promise<AuditEvent> {
  let found: AuditEvent | undefined;
  await eventually(async () => {
    found = (await events()).findLast((event) => event.verdict === "deny" && event.kind !== "change" && fits(event));
    assert.ok(found, "the log tells it");
  }, 5000);
  assert.ok(found);
  return found;
}

/** As it would be typed. */
function commandOf({ fix }: Pick<AuditEvent, "fix">): string | undefined {
  return fix?.map((word) => (word === "SANDBOX" ? box : word)).join(" ");
}

/** Runs what was told as a command. */
async function follow(command: string | undefined): Promise<void> {
  const [sbx, ...words] = (command ?? "").split(" ");
  assert.equal(sbx, "sbx");
  await world.home.must(words);
}

/** What the notice at the end is made of. */
async function rememberedOf(host: string): Promise<NetDenial | undefined> {
  const view = JSON.parse(await world.home.must(["net", "show", box, "--json"])) as NetView;
  return view.denied.findLast((denial) => denial.host === host);
}

interface Story {
  url: string;
  options?: RequestOptions;
  message: RegExp;
  rule: string | null;
  /** Whether there is a command that allows it. */
  hasWay: boolean;
}

const STORIES: Readonly<Record<string, Story>> = {
  "a method that the rule does not name": {
    url: "https://read.example.com/v1/models",
    options: { method: "POST" },
    message: /^POST read\.example\.com:443 is not among the requests that ".*GET.*" allows$/,
    rule: null,
    hasWay: true,
  },
  "a path that a rule denies": {
    url: "https://read.example.com/v1/private/x",
    message: /^GET read\.example\.com:443 is denied by ".*\/v1\/private\/\*\*"$/,
    rule: "deny read.example.com /v1/private/**",
    hasWay: false,
  },
  "a name that resolves to a private address": {
    url: "http://inside.example.com/",
    message: /^inside\.example\.com resolves to 10\.7\.7\.7, /,
    rule: null,
    hasWay: true,
  },
};

for (const [what, { url, options = {}, message, rule, hasWay }] of Object.entries(STORIES)) {
  test(`${what}: the program gets a 403 with the rule and the way out, and the log says the same`, async () => {
    const { hostname } = new URL(url);
    const refused = await guest.refused(url, options);
    assert.equal(refused.status, 403);
    assert.equal(refused.error, "blocked_by_sbx");
    assert.match(refused.message, message);
    assert.equal(refused.rule, rule);
    const denial = await denialOf(({ host }) => host === hostname);
    assert.equal(denial.reason, refused.message);
    assert.equal(denial.rule?.text ?? null, refused.rule);
    assert.equal(denial.status, 403);
    const command = commandOf(denial);
    assert.equal(refused.fix, command === undefined ? undefined : `sbx ${command}`);
    const remembered = await rememberedOf(hostname);
    assert.deepEqual([remembered?.reason, remembered?.fix], [refused.message, denial.fix]);
    assert.equal(refused.fix !== undefined, hasWay);
    if (refused.fix === undefined) return;
    await follow(refused.fix);
    const allowed = await guest.request(url, options);
    assert.equal(allowed.status, 200, JSON.stringify(allowed));
  });
}

test("a name that nothing allows: REFUSED with the reason in the answer, the log agrees, the command helps", async () => {
  const answer = await guest.ask<{ rcode: number; answers: number; text: string }>("dns", { name: "new.example.com" });
  assert.deepEqual([answer.rcode, answer.answers], [5, 0]);
  const denial = await denialOf(({ kind, host }) => kind === "dns" && host === "new.example.com");
  const command = `sbx ${commandOf(denial)}`;
  assert.equal(answer.text, `blocked by sbx: ${denial.reason}; to allow it: sbx net allow SANDBOX new.example.com`);
  assert.equal(command, `sbx net allow ${box} new.example.com`);
  const remembered = await rememberedOf("new.example.com");
  assert.deepEqual([remembered?.reason, remembered?.fix], [denial.reason, denial.fix]);
  await follow(command);
  assert.equal((await guest.request("https://new.example.com/")).status, 200);
});

test("a name that a rule denies: REFUSED with that rule, and nobody names a command, for none would help", async () => {
  const answer = await guest.ask<{ rcode: number; text: string }>("dns", { name: "never.example.com" });
  assert.equal(answer.rcode, 5);
  const denial = await denialOf(({ host }) => host === "never.example.com");
  assert.equal(answer.text, `blocked by sbx: ${denial.reason}`);
  assert.equal(denial.rule?.text, "deny never.example.com");
  assert.equal(denial.fix, null);
  assert.equal((await rememberedOf("never.example.com"))?.fix, null);
});

test("an address that is hard-coded: the connection is refused, the log names the address and its port, the command helps", async () => {
  const url = `http://${ELSEWHERE}:7000/`;
  const seen = await guest.request(url);
  assert.deepEqual(seen, { error: "ConnectionRefusedError", stage: "connect" });
  const denial = await denialOf(({ host }) => host === ELSEWHERE);
  assert.deepEqual([denial.kind, denial.port, denial.reason], ["connection", 7000, `no rule allows ${ELSEWHERE}:7000`]);
  const command = `sbx ${commandOf(denial)}`;
  const remembered = await rememberedOf(ELSEWHERE);
  assert.deepEqual([remembered?.port, remembered?.reason, remembered?.fix], [7000, denial.reason, denial.fix]);
  await follow(command);
  assert.equal((await guest.request(url)).status, 200);
});

test("TLS for another name than the connection's: an alert inside, and the log names both", async () => {
  for (const host of ["tunnel.example.com", "read.example.com"]) {
    const seen = await guest.request(`https://${host}/`, { serverName: "other.example.com" });
    assert.match(seen.error ?? "", /^tls .*UNRECOGNIZED_NAME/i);
    const denial = await denialOf((event) => event.kind === "connection" && event.host === host);
    const expected = `the TLS handshake is for other.example.com, but the connection was opened for ${host}`;
    assert.deepEqual([denial.reason, denial.fix], [expected, null]);
  }
});

test("a placeholder for another host: 403 that names the secret and never the value, and one line about the leak", async () => {
  const options = { headers: { "x-key": "$API_KEY" } };
  const refused = await guest.refused("https://read.example.com/v1/models", options);
  assert.equal(refused.status, 403);
  assert.match(refused.message, /^the placeholder of the secret API_KEY in the .*x-key.* is not for this host$/);
  const request = await denialOf(({ kind, host }) => kind === "request" && host === "read.example.com");
  assert.equal(request.reason, refused.message);
  const leak = await denialOf(({ kind }) => kind === "leak");
  assert.deepEqual([leak.secrets, leak.host, leak.method], [["API_KEY"], "read.example.com", "GET"]);
  const leaks = (await events()).filter(({ kind }) => kind === "leak");
  assert.equal(leaks.length, 1, `one leak is one line: ${JSON.stringify(leaks)}`);
  const arrived = JSON.parse((await guest.request("https://secret.example.com/", options)).body ?? "") as GuestAnswer;
  assert.match(arrived.headers?.["x-key"] ?? "", /^DENO_SECRET_PLACEHOLDER_/);
  const allowed = (await events()).findLast(({ host }) => host === "secret.example.com");
  assert.deepEqual([allowed?.verdict, allowed?.secrets], ["allow", ["API_KEY"]]);
});

test("a hook's own answer arrives as it is, and one that throws is a 502 whose message the log has as well", async () => {
  const own = await guest.request("https://hooked.example.com/no");
  assert.deepEqual([own.status, own.body], [403, "not from here\n"]);
  const failed = await guest.refused("https://hooked.example.com/throw");
  assert.deepEqual([failed.status, failed.error], [502, "hook_failed"]);
  assert.match(failed.message, /the hook is in two minds/);
  const denial = await denialOf(({ host }) => host === "hooked.example.com");
  assert.deepEqual([denial.reason, denial.status, denial.fix], [failed.message, 502, null]);
});

test("`sbx run` ends with the same: how much was denied, the latest hosts, and the options that allow them next time", async () => {
  for (const port of [81, 82]) await guest.request(`http://93.184.216.99:${port}/`);
  const view = JSON.parse(await world.home.must(["net", "show", box, "--json"])) as NetView;
  const count = view.denied.reduce((sum, denial) => sum + denial.count, 0);
  assert.equal(count, view.counters.denied);
  assert.equal(await guest.end(), 0);
  const said = new RegExp(
    `${count} requests were denied \\(93\\.184\\.216\\.99:82, 93\\.184\\.216\\.99:81, .*\\); ` +
      `try: sbx run (--allow-net 93\\.184\\.216\\.99:82 --allow-net 93\\.184\\.216\\.99:81 --allow-net \\S+) …`,
  );
  const [, options = ""] = said.exec(guest.stderr) ?? [];
  assert.notEqual(options, "", `${guest.stderr} is not ${said.source}`);
  await world.serve({ address: "93.184.216.99", port: 81 });
  const words = ["--", "curl", "-s", "--max-time", "20", "http://93.184.216.99:81/"];
  const again = await world.home.sbx(["run", ...options.split(" "), ...words]);
  assert.equal(again.status, 0, again.stderr);
  assert.ok(!again.stderr.includes("denied"), again.stderr);
});
