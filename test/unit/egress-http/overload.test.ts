/** More at a time than one sandbox may have: what is too much is answered or ended, and the host holds no more for it. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import { closed, exchangeRaw, openH2, readH2, readUntil } from "./clients.ts";
import { HOST, startHarness } from "./harness.ts";
import { httpsServer, rawServer } from "./servers.ts";

const PATH = { ":path": "/", ":authority": HOST };

test("a request too many is answered with 503, and one that is given up at that moment is nobody's error", async () => {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", onUnhandled);
  try {
    await using upstream = await httpsServer(() => undefined);
    await using harness = await startHarness({ upstreamPort: upstream.port, limits: { exchanges: 1 } });
    const session = await openH2(harness);
    const first = session.request(PATH);
    first.on("error", () => undefined);
    while (upstream.sockets.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    for (let index = 0; index < 50; index++) {
      const stream = session.request(PATH);
      stream.on("error", () => undefined);
      stream.close(8);
    }
    const refused = await readH2(session.request(PATH));
    assert.equal(refused.headers[":status"], 503);
    assert.match(refused.body.toString(), /"error":"overloaded"/);
    const head = await readH2(session.request({ ...PATH, ":method": "HEAD" }));
    assert.deepEqual([head.headers[":status"], head.body.length], [503, 0]);
    session.destroy();
    await harness.settled("request", 52);
  } finally {
    process.off("unhandledRejection", onUnhandled);
  }
  assert.deepEqual(unhandled, []);
});

function get(path: string, more = ""): string {
  return `GET ${path} HTTP/1.1\r\nhost: ${HOST}\r\n${more}\r\n`;
}

test("as many requests are pipelined as package managers do", async () => {
  await using upstream = await httpsServer((request, response) => response.end(request.url));
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const paths = Array.from({ length: 16 }, (_, index) => `/${index}`);
  const requests = paths.map((path) => get(path, path === "/15" ? "connection: close\r\n" : ""));
  const answer = await exchangeRaw(await harness.connect(), requests.join(""));
  assert.equal(answer.match(/HTTP\/1\.1 200 /g)?.length, 16);
});

test("heads that are pipelined on one connection are bounded in bytes, not in number only", async () => {
  await using upstream = await rawServer(true, () => undefined);
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const large = `x: ${"x".repeat(50_000)}\r\n`;
  for (const [waiting, lives] of [
    [[get("/1", large), get("/2", large)], true],
    [[get("/1", large), get("/2", large), get("/3", large)], false],
    [[withBody("/1"), get("/2")], true],
    [[withBody("/1"), withBody("/2")], false],
  ] as const) {
    const socket = await harness.connect();
    const ended = closed(socket);
    socket.write(get("/running") + waiting.join(""));
    const dials = harness.dials.length;
    if (lives) while (harness.dials.length === dials) await new Promise((resolve) => setTimeout(resolve, 5));
    else await ended;
    socket.destroy();
  }
});

function withBody(path: string): string {
  return `POST ${path} HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: 2\r\n\r\nab`;
}

test("heads that wait are bounded over all connections, and who does not pipeline is answered all the same", async () => {
  const limit = 512 * 1024;
  await using upstream = await rawServer(true, (socket) => {
    socket.on("data", (chunk: Buffer) => {
      if (chunk.includes("GET /now ")) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { pipelinedBytes: limit } });
  const waiting = get("/waits", `x: ${"x".repeat(50_000)}\r\n`);
  const sockets: Socket[] = [];
  for (let index = 0; index < 20; index++) {
    const socket = await harness.connect();
    socket.on("error", () => undefined).resume();
    socket.write(get("/hangs") + waiting);
    sockets.push(socket);
  }
  const open = (): number => sockets.filter((socket) => !socket.destroyed).length;
  while (open() * waiting.length > limit) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(open() >= 5, `${open()} connections are left`);
  const other = await harness.connect();
  other.write(get("/now"));
  assert.match(await readUntil(other, "\r\n\r\n"), /^HTTP\/1\.1 200 /);
  other.destroy();
  for (const socket of sockets) socket.destroy();
});

test("heads of requests under way are bounded in all: one more is answered with 503, until one has ended", async () => {
  await using upstream = await rawServer(true, () => undefined);
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { headBytes: 200 * 1024 } });
  const request = get("/", `x: ${"x".repeat(50_000)}\r\n`);
  const running = [];
  for (let index = 1; index <= 3; index++) {
    const socket = await harness.connect();
    socket.on("error", () => undefined).write(request);
    running.push(socket);
    while (harness.dials.length < index) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const refused = await harness.connect();
  refused.write(request);
  assert.match(await readUntil(refused, "}"), /^HTTP\/1\.1 503 [^]*"error":"overloaded"/);
  running[0]?.destroy();
  await harness.settled("request", 2);
  refused.write(request);
  while (harness.dials.length < 4) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const socket of [...running, refused]) socket.destroy();
});
