/**
 * The way out of a copy of a running machine: its own authority and placeholders, the source's rules, and a legible
 * refusal for a program that still has the source's placeholder.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { eventually } from "../vm/support/leftovers.ts";
import type { EchoServer } from "./support/echo-server.ts";
import { GuestClient } from "./support/guest-client.ts";
import { World } from "./support/world.ts";

const HOST = "api.example.com";
const OTHER = "other.example.com";
const ADDRESS = "93.184.216.71";
const VALUE = "value-of-the-secret-0123456789-abc";
const BEARER = { headers: { authorization: "Bearer $TOKEN" } };

let world: World;
let server: EchoServer;
let source = "";
let copy = "";

/** Asks again and again, with what it had when it was started. */
const ASKER =
  'while :; do curl -sS -m 20 -H "authorization: Bearer $TOKEN" https://api.example.com/asker > /tmp/answer.new 2>&1; ' +
  "mv /tmp/answer.new /tmp/answer; sleep 0.2; done";

before(async () => {
  world = await World.open();
  for (const name of [HOST, OTHER]) world.names.set(name, ADDRESS);
  server = await world.serve({ address: ADDRESS, port: 443, identity: world.authority.identity("*.example.com") });
  await world.home.must(["secret", "set", "TOKEN", "--host", HOST], { input: VALUE });
  source = await world.home.create("--allow-net", `${HOST}:443`, "--secret", "TOKEN", "--ca-file", world.caFile);
  await world.home.must(["net", "allow", source, `${OTHER}:443`]);
  await world.home.bash(source, `nohup bash -c '${ASKER}' </dev/null >/dev/null 2>&1 &`);
  await eventually(() => assert.ok(asked().length > 1, "the program gets through in the source"));
  copy = await world.home.must(["fork", source, "--quiet"]);
});
after(async () => world[Symbol.asyncDispose]());

function asked(): string[] {
  return server.seen.filter(({ url }) => url === "/asker").map(({ headers }) => String(headers.authorization));
}

test("a program that went on with the source's placeholder is refused in words that help, and the source's goes on", async () => {
  await eventually(async () => {
    const answer = await world.home.bash(copy, "cat /tmp/answer");
    assert.match(answer, /"error":"blocked_by_sbx"/);
    assert.match(
      answer,
      /from before this sandbox was copied: a program that is started anew gets the one that is valid/,
    );
  });
  const count = asked().length;
  await eventually(() => assert.ok(asked().length > count + 1, "the source's program gets through"));
  assert.deepEqual([...new Set(asked())], [`Bearer ${VALUE}`], "nobody was sent a placeholder");
  const log = await world.home.must(["net", "log", copy]);
  assert.match(log, /former placeholder of TOKEN in header authorization/);
});

test("a program that is started in the copy has a placeholder that works, and trusts the copy's authority", async () => {
  const [inSource, inCopy] = [
    world.use(await GuestClient.start(world.home, source)),
    world.use(await GuestClient.start(world.home, copy)),
  ];
  const placeholders = await Promise.all(
    [inSource, inCopy].map(async (guest) => {
      const { env } = await guest.ask<{ env: Record<string, string> }>("env", { names: ["TOKEN"] });
      return env.TOKEN ?? "";
    }),
  );
  assert.match(placeholders[1] ?? "", /^DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}$/);
  assert.notEqual(placeholders[0], placeholders[1]);
  for (const guest of [inSource, inCopy]) {
    const before = server.seen.length;
    const { status, body = "" } = await guest.request(`https://${HOST}/own`, BEARER);
    assert.equal(status, 200, body);
    const own = server.seen.slice(before).filter(({ url }) => url === "/own");
    assert.deepEqual(
      own.map(({ headers }) => headers.authorization),
      [`Bearer ${VALUE}`],
    );
  }
});

test("the source's rules hold in the copy, those that were added while it ran too; then each has its own", async () => {
  for (const id of [source, copy]) {
    assert.match(await world.home.must(["net", "show", id]), /other\.example\.com:443/);
  }
  await world.home.must(["net", "allow", copy, "third.example.com"]);
  assert.match(await world.home.must(["net", "show", copy]), /third\.example\.com/);
  assert.doesNotMatch(await world.home.must(["net", "show", source]), /third\.example\.com/);
});
