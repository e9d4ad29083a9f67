/**
 * Names with one kind of address or both, rules for addresses and ranges without a name, and this machine's own loopback:
 * which server a real guest reaches for each.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import type { EchoServer } from "./support/echo-server.ts";
import { World } from "./support/world.ts";

const V6_ONLY = { name: "six.example.com", address: "2606:2800:21f:cb07::6" };
const BOTH = { name: "both.example.com", v4: "93.184.216.40", v6: "2606:2800:21f:cb07::40" };
const BARE_V6 = "2001:db8::7";
const BARE_V4 = "192.0.2.7";
const IN_RANGE = "198.51.100.77";
const OUT_OF_RANGE = "198.51.101.1";
const LOOPBACK_PORT = 18080;

let world: World;
let box: string;
const servers = new Map<string, EchoServer>();

before(async () => {
  world = await World.open();
  world.names.set(V6_ONLY.name, V6_ONLY.address);
  // Nobody listens at its first address.
  world.names.set(BOTH.name, [BOTH.v6, BOTH.v4]);
  for (const address of [V6_ONLY.address, BOTH.v4, BARE_V6, BARE_V4, IN_RANGE, OUT_OF_RANGE]) {
    servers.set(address, await world.serve({ address, port: 80 }));
  }
  servers.set("127.0.0.1", await world.serve({ address: "127.0.0.1", port: LOOPBACK_PORT }));
  servers.set("another port", await world.serve({ address: "127.0.0.1", port: LOOPBACK_PORT + 1 }));
  const patterns = [
    ...[`${V6_ONLY.name}:80`, `${BOTH.name}:80`, `[${BARE_V6}]:80`, `${BARE_V4}:80`, "198.51.100.0/24:80"],
    `host.sbx.internal:${LOOPBACK_PORT}`,
  ];
  box = await world.home.create(...patterns.flatMap((pattern) => ["--allow-net", pattern]));
});
after(async () => world[Symbol.asyncDispose]());

/** Asks for each URL; says its status, or curl's exit code. */
async function statuses(...urls: string[]): Promise<string[]> {
  const line = `for url; do curl -gsS -m 20 -o /dev/null -w '%{http_code}\\n' "$url" 2>/dev/null || echo "curl $?"; done`;
  const output = await world.home.must(["exec", box, "--", "bash", "-c", line, "bash", ...urls]);
  return output.split("\n").filter((text) => text !== "000");
}

test("a name that has an IPv6 address alone is reached, by IPv6 and by IPv4 in the guest", async () => {
  const line = `for family in -4 -6; do curl -sS $family -o /dev/null -w '%{http_code}\\n' http://${V6_ONLY.name}/; done`;
  assert.equal(await world.home.bash(box, line), "200\n200");
  assert.equal(servers.get(V6_ONLY.address)?.seen.length, 2);
});

test("a name whose first address does not answer is reached at its next one", async () => {
  assert.deepEqual(await statuses(`http://${BOTH.name}/`), ["200"]);
  assert.equal(servers.get(BOTH.v4)?.seen.length, 1);
});

test("an address that is named is reached without a name, by either protocol", async () => {
  assert.deepEqual(await statuses(`http://[${BARE_V6}]/`, `http://${BARE_V4}/`), ["200", "200"]);
  assert.equal(servers.get(BARE_V6)?.seen[0]?.headers.host, `[${BARE_V6}]`);
  assert.equal(servers.get(BARE_V4)?.seen.length, 1);
});

test("a range lets in its own addresses, and not their neighbours", async () => {
  assert.deepEqual(await statuses(`http://${IN_RANGE}/`, `http://${OUT_OF_RANGE}/`), ["200", "curl 7"]);
  assert.equal(servers.get(OUT_OF_RANGE)?.connections, 0);
});

test("host.sbx.internal is this machine's loopback, at the port that was named and at no other", async () => {
  const urls = [`http://host.sbx.internal:${LOOPBACK_PORT}/`, `http://host.sbx.internal:${LOOPBACK_PORT + 1}/`];
  assert.deepEqual(await statuses(...urls), ["200", "curl 7"]);
  assert.equal(servers.get("127.0.0.1")?.seen.length, 1);
  assert.equal(servers.get("another port")?.connections, 0);
});

test("an address that belongs to an allowed name is not reached without that name", async () => {
  const before = servers.get(BOTH.v4)?.connections;
  assert.deepEqual(await statuses(`http://${BOTH.v4}/`), ["curl 7"]);
  assert.equal(servers.get(BOTH.v4)?.connections, before);
});
