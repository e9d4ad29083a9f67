/**
 * Secrets while sandboxes run: a rotated value counts from the next request on and the old one is a leak, sources are
 * read anew for each sandbox, a placeholder is worth nothing anywhere else, and values that do not come end the start.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import type { AuditEvent } from "../../src/egress/audit-event.ts";
import { eventually, processesOf, untilClean } from "../vm/support/leftovers.ts";
import type { Answer, EchoServer } from "./support/echo-server.ts";
import { GuestClient } from "./support/guest-client.ts";
import { World } from "./support/world.ts";

const HOST = "api.example.com";
const OTHER = "other.example.com";
const ADDRESS = "93.184.216.70";
const OLD = "first-value-of-the-secret-0123456789";
const NEW = "second-value-of-the-secret-abcdefgh";
const BEARER = { headers: { authorization: "Bearer $TOKEN" } };

let world: World;
let server: EchoServer;
let plain: EchoServer;
const boxes: { id: string; guest: GuestClient; placeholder: string }[] = [];

/** `/say?…` answers with both values, whatever it was asked. */
const say: Answer = (seen, response) => {
  if (seen.url !== "/say") return false;
  response.setHeader("content-type", "text/plain");
  (response.end as (text: string) => void)(`${OLD} and ${NEW}`);
  return true;
};

before(async () => {
  world = await World.open();
  for (const name of [HOST, OTHER]) world.names.set(name, ADDRESS);
  const identity = world.authority.identity("*.example.com");
  server = await world.serve({ address: ADDRESS, port: 443, identity, answer: say });
  plain = await world.serve({ address: ADDRESS, port: 80 });
  await world.home.must(["secret", "set", "TOKEN", "--host", HOST], { input: OLD });
  boxes.push(await open("TOKEN"), await open("TOKEN"));
});
after(async () => world[Symbol.asyncDispose]());

async function open(secret: string): Promise<(typeof boxes)[number]> {
  const id = await world.home.create(
    ...["--allow-net", `${HOST}:443`, "--allow-net", OTHER, "--secret", secret, "--ca-file", world.caFile],
  );
  const guest = world.use(await GuestClient.start(world.home, id));
  const [name = ""] = secret.split("@");
  const { env } = await guest.ask<{ env: Record<string, string> }>("env", { names: [name] });
  return { id, guest, placeholder: env[name] ?? "" };
}

function box(at: number): (typeof boxes)[number] {
  const found = boxes[at];
  assert.ok(found);
  return found;
}

/** What the host that the secret belongs to got. */
async function arrivedFrom(guest: GuestClient, header: string): Promise<string> {
  const before = server.seen.length;
  const { status, body = "" } = await guest.request(`https://${HOST}/`, { headers: { authorization: header } });
  assert.equal(status, 200, body);
  return String(server.seen[before]?.headers.authorization);
}

async function log(id: string): Promise<AuditEvent[]> {
  const text = await world.home.must(["net", "log", id, "--json"]);
  return text.split("\n").map((line) => JSON.parse(line) as AuditEvent);
}

test("the same secret has another placeholder in each sandbox, and each is worth the value there", async () => {
  const [first, second] = [box(0), box(1)];
  assert.match(first.placeholder, /^DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}$/);
  assert.match(second.placeholder, /^DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}$/);
  assert.notEqual(first.placeholder, second.placeholder);
  for (const { guest } of boxes) assert.equal(await arrivedFrom(guest, "Bearer $TOKEN"), `Bearer ${OLD}`);
});

test("a placeholder of one sandbox is nothing in another one: it arrives as it is", async () => {
  const header = `Bearer ${box(0).placeholder}`;
  assert.equal(await arrivedFrom(box(1).guest, header), header);
});

test("a rotated value is in the next request of every sandbox, also on a connection that was open", async () => {
  const output = await world.home.must(["secret", "rotate", "TOKEN", "--json"], { input: NEW });
  assert.ok(!output.includes(NEW));
  const { sandboxes } = JSON.parse(output) as { sandboxes: { id: string; problem: string | null }[] };
  assert.deepEqual(
    sandboxes.map(({ id, problem }) => [id, problem]).toSorted(),
    boxes.map(({ id }) => [id, null]).toSorted(),
  );
  for (const { guest, id } of boxes) {
    assert.equal(await arrivedFrom(guest, "Bearer $TOKEN"), `Bearer ${NEW}`);
    const change = (await log(id)).findLast(({ kind }) => kind === "change");
    assert.deepEqual([change?.secrets, change?.reason], [["TOKEN"], "value replaced"]);
  }
});

test("the old value is refused on its way out, to every host, and so is the new one to other hosts", async () => {
  const { guest, id } = box(0);
  const count = server.seen.length;
  const attempts = [
    [`https://${HOST}/`, OLD],
    [`https://${OTHER}/`, OLD],
    [`http://${OTHER}/`, OLD],
    [`http://${OTHER}/`, NEW],
  ] as const;
  for (const [url, value] of attempts) {
    // To other hosts over TLS there is a tunnel, whose content nobody sees.
    if (url === `https://${OTHER}/`) continue;
    for (const options of [
      { headers: { authorization: `Bearer ${value}` } },
      { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key: value }) },
    ]) {
      const refused = await guest.refused(url, options);
      assert.equal(refused.status, 403, `${url} ${value}`);
      assert.match(refused.message, /a value of the secret TOKEN/);
      assert.ok(!JSON.stringify(refused).includes(value));
    }
  }
  assert.deepEqual([server.seen.length, plain.seen.length], [count, 0]);
  const events = await log(id);
  assert.ok(events.filter(({ kind, verdict }) => kind === "leak" && verdict === "deny").length >= 6);
  assert.ok(!JSON.stringify(events).includes(OLD) && !JSON.stringify(events).includes(NEW));
});

test("an upstream that says the old value or the new one is heard with the placeholder in their place", async () => {
  const { guest, placeholder } = box(0);
  const { body } = await guest.request(`https://${HOST}/say`, BEARER);
  assert.equal(body, `${placeholder} and ${placeholder}`);
});

test("a secret that is removed stays in sandboxes that have it, and no new one gets it", async () => {
  await world.home.must(["secret", "remove", "TOKEN"]);
  assert.equal(await arrivedFrom(box(0).guest, "Bearer $TOKEN"), `Bearer ${NEW}`);
  const { status, stderr } = await world.home.sbx(["create", "--detach", "--secret", "TOKEN"]);
  assert.equal(status, 125);
  assert.match(stderr, /there is no secret TOKEN/);
});

test("a command, a file and a variable are read anew for each sandbox", async () => {
  const file = world.home.scratch("value");
  const count = world.home.scratch("count");
  await writeFile(count, "0");
  const command = `n=$(($(cat ${count}) + 1)); echo $n > ${count}; echo value-number-$n-of-the-command`;
  await world.home.must(["secret", "set", "BY_COMMAND", "--host", HOST, "--from-command", command]);
  await world.home.must(["secret", "set", "BY_FILE", "--host", HOST, "--from-file", file]);
  await world.home.must(["secret", "set", "BY_ENV", "--host", HOST, "--from-env", "WHERE_IT_IS"]);
  assert.equal(await readFile(count, "utf8"), "0", "nothing is read before it is used");
  const curl = `curl -sS https://${HOST}/ -H "a: $BY_COMMAND" -H "b: $BY_FILE" -H "c: $BY_ENV"`;
  for (const round of [1, 2]) {
    await writeFile(file, `value-number-${round}-of-the-file\n`);
    const secrets = ["BY_COMMAND", "BY_FILE", "BY_ENV"].flatMap((name) => ["--secret", name]);
    const network = ["--allow-net", HOST, "--ca-file", world.caFile];
    const before = server.seen.length;
    await world.home.must(["run", ...network, ...secrets, "--", "bash", "-c", curl], {
      env: { WHERE_IT_IS: `value-number-${round}-of-the-variable` },
    });
    const { a, b, c } = server.seen[before]?.headers ?? {};
    const expected = ["command", "file", "variable"].map((what) => `value-number-${round}-of-the-${what}`);
    assert.deepEqual([a, b, c], expected);
  }
});

test("a value that cannot be read ends the command with the reason, and nothing is left", async () => {
  const alive = boxes.map(({ id }) => id);
  const faults: readonly [args: string[], said: RegExp][] = [
    [["--from-command", "echo why it is so >&2; exit 3"], /its command ended with status 3/],
    [["--from-file", world.home.scratch("nowhere")], /nowhere cannot be read/],
    [["--from-env", "NOT_SET_AT_ALL"], /the variable NOT_SET_AT_ALL is not set/],
  ];
  for (const [args, said] of faults) {
    await world.home.must(["secret", "set", "FAULTY", "--host", HOST, ...args]);
    const { status, stderr } = await world.home.sbx(["create", "--detach", "--secret", "FAULTY"]);
    assert.equal(status, 125);
    assert.match(stderr, said);
  }
  await untilClean(world.home, { alive });
});

test("a command that never prints its value is waited for, and Ctrl-C ends that, with nothing left", async () => {
  const mark = world.home.scratch("asking");
  const command = `touch ${mark}; sleep 1000`;
  await world.home.must(["secret", "set", "SLOW", "--host", HOST, "--from-command", command]);
  const child = world.home.start(["create", "--detach", "--secret", "SLOW"]);
  await eventually(() => readFile(mark));
  child.kill("SIGINT");
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 130);
  await untilClean(world.home, { alive: boxes.map(({ id }) => id) });
});

test("a sandbox whose maker stops before it has said the values never runs, and ends with its maker", async () => {
  world.home.env.TOKEN = OLD;
  const alive = boxes.map(({ id }) => id);
  const known = new Set((await processesOf([world.home.path])).map(({ pid }) => pid));
  const child = world.home.start(["create", "--detach", "--secret", `TOKEN@${HOST}`]);
  // Its supervisor is there, and takes longer to open its door than it takes to stop who made it.
  await eventually(async () => {
    const found = await processesOf([world.home.path]);
    assert.ok(found.some(({ pid, role }) => role === "supervisor" && !known.has(pid)));
  });
  child.kill("SIGSTOP");
  const made = (await world.home.list()).filter(({ id }) => !alive.includes(id));
  assert.deepEqual(
    made.filter(({ status }) => status === "running"),
    [],
  );
  child.kill("SIGKILL");
  await once(child, "close");
  await untilClean(world.home, { alive, look: () => world.home.sbx(["list"]) });
});
