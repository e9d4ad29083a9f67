/**
 * Real clients in a real guest, unconfigured, against servers of the closed network: by a tunnel, where the server's own
 * certificate arrives, and by interception, where a secret is put in on the way.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import type { EchoServer, SeenRequest } from "./support/echo-server.ts";
import { World } from "./support/world.ts";

const TUNNELLED = "tunnel.example.com";
const READ = "api.example.com";

let world: World;
let tunnelled: EchoServer;
let read: EchoServer;
let box: string;

before(async () => {
  world = await World.open();
  tunnelled = await world.https(TUNNELLED, "93.184.216.34");
  read = await world.https(READ, "93.184.216.35");
  box = await world.home.create(
    ...["--allow-net", TUNNELLED, "--allow-net", `${READ}:443`, "--ca-file", world.caFile],
    ...["--secret", `API_KEY@${READ}`],
  );
});
after(async () => world[Symbol.asyncDispose]());

const CLIENTS: readonly { name: string; line: (url: string) => string }[] = [
  { name: "curl", line: (url) => `curl -sS -H "authorization: Bearer $API_KEY" ${url}` },
  { name: "wget", line: (url) => `wget -q -O - --header "authorization: Bearer $API_KEY" ${url}` },
  {
    name: "python urllib",
    line: (url) =>
      `python3 -c 'import os, urllib.request as u; r = u.Request("${url}", headers={"authorization": "Bearer " + os.environ["API_KEY"]}); print(u.urlopen(r).read().decode())'`,
  },
  {
    name: "node fetch",
    line: (url) =>
      `node -e 'fetch("${url}", { headers: { authorization: "Bearer " + process.env.API_KEY } }).then((r) => r.text()).then(console.log)'`,
  },
  {
    name: "deno fetch",
    line: (url) =>
      `deno eval 'console.log(await (await fetch("${url}", { headers: { authorization: "Bearer " + Deno.env.get("API_KEY") } })).text())'`,
  },
];

for (const { name, line } of CLIENTS) {
  test(`${name} works through a tunnel, with the server's own certificate, and sends the placeholder`, async () => {
    const answer = JSON.parse(await world.home.bash(box, line(`https://${TUNNELLED}/echo?q=1`))) as SeenRequest;
    assert.equal(answer.url, "/echo?q=1");
    assert.match(String(answer.headers.authorization), /^Bearer DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}$/);
    assert.equal(answer.serverName, TUNNELLED);
  });

  test(`${name} works through interception, and the value arrives there and only there`, async () => {
    const before = read.seen.length;
    const answer = JSON.parse(await world.home.bash(box, line(`https://${READ}/echo`))) as SeenRequest;
    assert.equal(read.seen[before]?.headers.authorization, `Bearer ${world.secret}`);
    assert.match(String(answer.headers.authorization), /^Bearer DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}$/);
  });
}

test("what is not named does not exist for the guest, and no packet leaves for it", async () => {
  const before = world.names.asked.length;
  const { status } = await world.home.sbx(["exec", box, "--", "curl", "-sS", "https://other.example.com/"]);
  assert.equal(status, 6);
  assert.deepEqual(world.names.asked.slice(before), []);
  assert.equal(
    tunnelled.seen.some(({ serverName }) => serverName === "other.example.com"),
    false,
  );
});
