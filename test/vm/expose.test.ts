/** `sbx expose`: real servers in a real machine, behind URLs of this one. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { ask, startScript } from "./support/exposed.ts";
import { eventually, untilClean } from "./support/leftovers.ts";
import { runHost } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const home = await openTestHome();
after(async () => home[Symbol.asyncDispose]());

let id = "";
let url = "";
before(async () => {
  const created = await home.must(["create", "--detach", "--name", "web", "--expose-http", "3000", "--json"]);
  const { id: newId, exposures } = JSON.parse(created) as {
    id: string;
    exposures: { guestPort: number; url: string }[];
  };
  assert.deepEqual(
    exposures.map(({ guestPort }) => guestPort),
    [3000],
  );
  id = newId;
  url = exposures[0]?.url ?? "";
});

test("a URL is there before its server is, and says so until then", async () => {
  assert.match(url, /^http:\/\/web-[a-z2-7]{21}\.localhost:\d+$/);
  assert.equal(await home.must(["expose", "web", "3000"]), url, "repeated, it is the same one");
  const { status, body, headers } = await ask(url);
  assert.deepEqual([status, headers["retry-after"]], [503, "2"]);
  assert.equal((JSON.parse(body) as { code: string }).code, "nothing_listens");
  const page = await ask(url, { headers: { accept: "text/html" } });
  assert.match(page.body, /No server in the sandbox web listens on port 3000/);
  const waiting = ask(url, { headers: { "x-sbx-wait": "1" } });
  await startScript(home, id, "guest-server.js", "3000");
  assert.equal((await waiting).status, 204);
});

test("HTTP/1.1 passes as it is: keep-alive, bodies of both kinds, trailers, the Host of the URL", async () => {
  const body = Buffer.alloc(3_000_000, "0123456789abcdef");
  const hash = createHash("sha256").update(body).digest("hex");
  for (const headers of [{ "content-length": String(body.length) }, { "transfer-encoding": "chunked" }] as Record<
    string,
    string
  >[]) {
    const answer = await ask(url, { method: "POST", path: "/a?b=c", headers, body });
    assert.equal(answer.status, 200);
    const { from: _from, ...asked } = JSON.parse(answer.body) as Record<string, unknown>;
    assert.deepEqual(asked, { method: "POST", url: "/a?b=c", host: new URL(url).host });
    assert.equal(answer.trailers["x-hash"], hash);
  }
  assert.equal((await ask(url, { address: "::1" })).status, 200);
  const twice = await runHost(["curl", "-sv", url, `${url}/again`]);
  assert.match(twice.stdout, /"url":"\/".*"url":"\/again"/s);
  assert.match(twice.stderr, /Re-?using existing/i);
});

test("its own kernel takes the connections, and not the agent", async () => {
  // A host that is too busy for the guest to answer in time has the agent asked for a while.
  await eventually(async () => {
    const { body } = await ask(url);
    assert.equal((JSON.parse(body) as { from: string }).from, "::ffff:198.19.0.1");
  }, 90_000);
});

test("an event stream comes as it is sent", async () => {
  const { body, times } = await ask(url, { path: "/events" });
  assert.equal(body, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
  assert.ok(times.length >= 2, "it came in pieces");
});

test("a WebSocket echoes, and a page of another site does not get one", async () => {
  const { host, port } = new URL(url);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers: { host } });
  await once(socket, "open");
  for (const text of ["one", "two"]) {
    socket.send(text);
    const [data] = (await once(socket, "message")) as [Buffer];
    assert.equal(data.toString(), text);
  }
  socket.close();
  await once(socket, "close");
  const foreign = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers: { host }, origin: "https://evil.example" });
  const [error] = (await once(foreign, "error")) as [Error];
  assert.match(error.message, /403/);
});

test("without the URL nobody gets anywhere: other names, a rebound name, a proxy's requests", async () => {
  const { port } = new URL(url);
  for (const host of [
    `evil.example:${port}`,
    `127.0.0.1:${port}`,
    `localhost:${port}`,
    "web",
    `web.localhost:${port}`,
  ]) {
    const answer = await ask(url, { headers: { host } });
    assert.deepEqual([answer.status, answer.body], [404, "Not Found\n"], host);
  }
  const socket = connect({ port: Number(port), host: "127.0.0.1" });
  socket.end(`GET http://${new URL(url).host}/ HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`);
  const [chunk] = (await once(socket, "data")) as [Buffer];
  assert.match(chunk.toString(), /^HTTP\/1\.1 400 /);
});

test("servers on either loopback, and one that comes back, are reached", async () => {
  for (const [port, address] of [
    ["3001", "127.0.0.1"],
    ["3002", "::1"],
  ] as const) {
    const own = await home.must(["expose", "web", port]);
    assert.equal(new URL(own).port, new URL(url).port, "one port of this machine for all");
    assert.equal((await ask(own)).status, 503);
    await startScript(home, id, "guest-server.js", port, address);
    await eventually(async () => assert.equal((await ask(own)).status, 200, address));
  }
  // What the first attempts found must not stick: here the one family after the other.
  const moved = await home.must(["expose", "web", "3002"]);
  await home.bash(id, "pkill -f 'guest-server.js 3002'");
  await eventually(async () => assert.equal((await ask(moved)).status, 503));
  await startScript(home, id, "guest-server.js", "3002", "127.0.0.1");
  await eventually(async () => assert.equal((await ask(moved)).status, 200));
});

test("a guest that lets nothing in over its network is reached all the same", async () => {
  await home.must(["exec", "--user", "root", "web", "--", "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=0"]);
  const { body } = await ask(url);
  assert.equal((JSON.parse(body) as { from: string }).from, "::ffff:127.0.0.1");
});

test("a paused sandbox is said to be paused, and goes on", async () => {
  await home.must(["pause", "web"]);
  const { status, body } = await ask(url);
  assert.deepEqual([status, (JSON.parse(body) as { code: string }).code], [503, "sandbox_paused"]);
  await home.must(["resume", "web"]);
  await eventually(async () => assert.equal((await ask(url)).status, 200));
});

test("URLs are listed and inspected, taken away and refused clearly", async () => {
  assert.match(await home.must(["expose", "web"]), /^PORT +URL +CREATED\n3000 +http:\/\/web-.*\n3001 .*\n3002 /);
  const listed = JSON.parse(await home.must(["expose", "web", "--json"])) as { guestPort: number; url: string }[];
  assert.equal(listed[0]?.url, url);
  assert.match(await home.must(["inspect", "web"]), new RegExp(`URL +${url} for port 3000`));
  const taken = await home.sbx(["expose", "web", "3000", "--port", "1"]);
  assert.deepEqual([taken.status, /has a URL at port \d+ already/.test(taken.stderr)], [1, true]);
  const busy = await home.sbx(["expose", "web", "4000", "--port", new URL(await blocked()).port]);
  assert.deepEqual([busy.status, /is taken by another program/.test(busy.stderr)], [1, true]);
  await home.must(["expose", "web", "3002", "--remove"]);
  const again = await home.sbx(["expose", "web", "3002", "--remove"]);
  assert.deepEqual([again.status, /port 3002 of web has no URL/.test(again.stderr)], [1, true]);
  for (const args of [["0"], ["x"], ["70000"], ["--remove"], ["--port", "8080"]]) {
    assert.equal((await home.sbx(["expose", "web", ...args])).status, 2, args.join(" "));
  }
});

/** A port that this process has. */
async function blocked(): Promise<string> {
  const { createServer } = await import("node:http");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  after(() => server.close());
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

test("with the sandbox its port is closed, and nothing is left", async () => {
  await home.must(["kill", "web"]);
  await assert.rejects(ask(url), { code: "ECONNREFUSED" });
  assert.equal((await home.sbx(["expose", "web", "3000"])).status, 1);
  await untilClean(home);
});
