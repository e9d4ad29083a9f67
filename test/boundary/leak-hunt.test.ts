/**
 * A hunt for leaks: a program in the guest, as root, tries everything to get a canary to somebody who was not named. The
 * whole internet is this machine (scripts/closed-network.mjs), so that what leaves is seen whoever it is for.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import path from "node:path";
import type { Answer, EchoServer } from "./support/echo-server.ts";
import type { Traffic } from "./support/sniffer.ts";
import { World } from "./support/world.ts";

const SCRIPT = path.join(import.meta.dirname, "guest", "leak-hunt.py");
const ALLOWED = { name: "allowed.example.com", address: "93.184.216.34" };
const READ = { name: "api.example.com", address: "93.184.216.35" };
const PLAIN = { name: "plain.example.com", address: "93.184.216.36" };
const REBIND = "rebind.example.com";
/** Attempts that the script makes; one that is lost in an edit must not make the hunt look clean. */
const ATTEMPTS = 30;

let world: World;
let servers: EchoServer[];
let attempts: { attempt: string; said: string }[];
let traffic: Traffic[];

before(async () => {
  world = await World.open();
  const redirect: Answer = (seen, response) => {
    if (seen.url !== "/redirect") return false;
    response.statusCode = 302;
    response.setHeader("location", `http://evil.example.org/${world.canary}`);
    response.end();
    return true;
  };
  world.names.set(PLAIN.name, PLAIN.address);
  world.names.set("evil.example.org", "203.0.113.66");
  // Public at first, then everything that is nobody's business.
  world.names.set(
    REBIND,
    "93.184.216.36",
    "127.0.0.1",
    "10.0.0.5",
    "169.254.169.254",
    ["10.0.0.6", "192.168.1.1"],
    "::1",
  );
  servers = [
    await world.https(ALLOWED.name, ALLOWED.address),
    await world.https(READ.name, READ.address, { answer: redirect }),
    await world.serve({ address: PLAIN.address, port: 80, answer: redirect }),
  ];
  const box = await world.home.create(
    ...["--allow-net", `${ALLOWED.name}:443`, "--allow-net", `${READ.name}:443`, "--allow-net", `${PLAIN.name}:80`],
    ...["--allow-net", `${REBIND}:80`, "--secret", `API_KEY@${READ.name}`, "--ca-file", world.caFile],
  );
  await world.home.must(["cp", SCRIPT, `${box}:/app/leak-hunt.py`]);
  const words = ["python3", "/app/leak-hunt.py", world.canary, ALLOWED.name, PLAIN.name, READ.name];
  const output = await world.home.must(["exec", "--user", "root", box, "--", ...words], { deadlineMs: 540_000 });
  attempts = output.split("\n").map((line) => JSON.parse(line) as { attempt: string; said: string });
  traffic = await world.sniffer.traffic();
});
after(async () => world[Symbol.asyncDispose]());

test("every attempt was made", (t) => {
  for (const { attempt, said } of attempts) t.diagnostic(`${attempt}: ${said}`);
  assert.equal(attempts.length, ATTEMPTS);
});

test("packets went to the servers that were named, and to this machine's own resolver, and nowhere else", () => {
  const named = [ALLOWED, READ, PLAIN].map(({ address }) => address);
  const strangers = traffic.filter(({ protocol, to, port }) => {
    if (protocol === "tcp" && named.includes(to)) return false;
    // Questions to the test's resolver, and its answers.
    return !(protocol === "udp" && to === "127.0.0.1" && (port === 53 || port > 1024));
  });
  assert.deepEqual(strangers, []);
});

test("this machine's resolver was asked for named hosts only", () => {
  const named = [ALLOWED.name, READ.name, PLAIN.name, REBIND];
  assert.deepEqual(
    world.names.asked.map(({ name }) => name).filter((name) => !named.includes(name)),
    [],
  );
});

test("the canary crossed the network in the clear to the host that was named for that, and to no other", () => {
  const lines = traffic.filter(({ to, canaries }) => canaries > 0 && to !== PLAIN.address);
  assert.deepEqual(lines, []);
});

test("no named server got a request that was meant for another one", () => {
  const strangers = servers.flatMap(({ seen }) =>
    seen.filter(({ headers, url }) => {
      const host = String(headers.host ?? headers[":authority"] ?? "");
      return host.includes("evil") || url.includes("evil");
    }),
  );
  assert.deepEqual(strangers, []);
});

test("the tunnelled server got no TLS for another name", () => {
  const names = servers[0]?.seen.map(({ serverName }) => serverName) ?? [];
  assert.deepEqual(
    [...new Set(names)].filter((name) => name !== ALLOWED.name),
    [],
  );
});
