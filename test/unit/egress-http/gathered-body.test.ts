/** A small body with a secret in it goes out with its new length: some servers take none without one (411). */
import assert from "node:assert/strict";
import type { IncomingHttpHeaders } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { Readable } from "node:stream";
import { test } from "node:test";
import { ask, openH2, readAll, readH2, readUntil } from "./clients.ts";
import { PLACEHOLDER, VALUE } from "./fake-secrets.ts";
import { type Harness, HOST, startHarness } from "./harness.ts";
import { http2Server, httpsServer, type TestServer } from "./servers.ts";

const REWRITE = { "x-rewrite-body": "1" };
const TEXT = `{"key":"${PLACEHOLDER}"}`;
const SENT = TEXT.replace(PLACEHOLDER, VALUE);

interface Seen {
  headers: IncomingHttpHeaders;
  body: string;
}

/** Answers when it is told to, and at once if it is not. */
async function recorder(seen: Seen[], mayAnswer: Promise<void> = Promise.resolve()): Promise<TestServer> {
  return httpsServer((request, response) => {
    void readAll(request).then(async (body) => {
      seen.push({ headers: request.headers, body: body.toString() });
      await mayAnswer;
      response.end();
    });
  });
}

function post(harness: Harness, body: string | Buffer | Readable, headers = {}): ReturnType<typeof ask> {
  return ask(harness, "/", { method: "POST", body, headers: { ...REWRITE, ...headers } });
}

function framing({ headers }: Seen): [length: string | undefined, coding: string | undefined] {
  return [headers["content-length"], headers["transfer-encoding"]];
}

test("a small body whose length changes goes out with its new length over HTTP/1.1", async () => {
  const seen: Seen[] = [];
  await using upstream = await recorder(seen);
  await using harness = await startHarness({ upstreamPort: upstream.port });
  await post(harness, TEXT);
  assert.equal(seen[0]?.body, SENT);
  assert.deepEqual(framing(seen[0]), [String(SENT.length), undefined]);
  const [event] = await harness.settled("request", 1);
  assert.equal(event?.sentBytes, SENT.length);
});

test("and over HTTP/2, trailers included", async () => {
  await using upstream = await http2Server();
  const seen: unknown[] = [];
  upstream.server.on("stream", (stream: ServerHttp2Stream, headers) => {
    let trailers: unknown;
    stream.on("trailers", (fields: Record<string, unknown>) => (trailers = fields["x-after"]));
    void readAll(stream).then((body) => {
      seen.push(headers["content-length"], body.toString(), trailers);
      stream.respond({ ":status": 200 }, { endStream: true });
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const headers = { ":path": "/", ":authority": HOST, ":method": "POST", "content-length": TEXT.length, ...REWRITE };
  const stream = session.request(headers, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers({ "x-after": "1" }));
  stream.end(TEXT);
  assert.equal((await readH2(stream)).headers[":status"], 200);
  assert.deepEqual(seen, [String(SENT.length), SENT, "1"]);
  session.destroy();
});

test("a body that was declared larger or that has no length stays in chunks, and whole", async () => {
  const seen: Seen[] = [];
  await using upstream = await recorder(seen);
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { gatheredBodyBytes: 1000 } });
  const filler = (bytes: number): string => "x".repeat(bytes) + TEXT;
  await post(harness, filler(1000));
  await post(harness, Readable.from([Buffer.from(filler(10))]));
  assert.deepEqual(seen.map(framing), [
    [undefined, "chunked"],
    [undefined, "chunked"],
  ]);
  assert.deepEqual(
    seen.map(({ body }) => body),
    [filler(1000), filler(10)].map((text) => text.replace(PLACEHOLDER, VALUE)),
  );
});

test("what is gathered is bounded over all requests; who finds no room sends in chunks", async () => {
  const seen: Seen[] = [];
  let answer: () => void = () => undefined;
  await using upstream = await recorder(seen, new Promise((resolve) => (answer = resolve)));
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { gatheredBytes: 250 } });
  const body = "x".repeat(100);
  const asked = [];
  for (let index = 1; index <= 3; index++) {
    // The third finds room for its first half.
    const halves = Readable.from([Buffer.from(body.slice(50)), Buffer.from(body.slice(50))]);
    asked.push(index < 3 ? post(harness, body) : post(harness, halves, { "content-length": "100" }));
    while (seen.length < index) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual(seen.map(framing), [
    ["100", undefined],
    ["100", undefined],
    [undefined, "chunked"],
  ]);
  assert.equal(seen[2]?.body, body);
  answer();
  await Promise.all(asked);
  await post(harness, body);
  assert.deepEqual(seen[3] && framing(seen[3]), ["100", undefined]);
});

test("a guest that waits for 100 gets it, and the upstream gets the body with its length", async () => {
  const seen: Seen[] = [];
  await using upstream = await recorder(seen);
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const socket = await harness.connect();
  socket.write(
    `POST / HTTP/1.1\r\nhost: ${HOST}\r\nx-rewrite-body: 1\r\nexpect: 100-continue\r\n` +
      `content-length: ${TEXT.length}\r\n\r\n`,
  );
  assert.match(await readUntil(socket, "\r\n\r\n"), /^HTTP\/1\.1 100 /);
  socket.write(TEXT);
  assert.match(await readUntil(socket, "\r\n\r\n"), /^HTTP\/1\.1 200 /);
  assert.deepEqual(seen[0] && framing(seen[0]), [String(SENT.length), undefined]);
  assert.equal(seen[0]?.headers.expect, undefined);
  socket.destroy();
});

test("a guest that goes away in the middle of its body gives back what was gathered, and nothing was dialled", async () => {
  const seen: Seen[] = [];
  await using upstream = await recorder(seen);
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { gatheredBytes: 100 } });
  const socket = await harness.connect();
  socket.write(`POST / HTTP/1.1\r\nhost: ${HOST}\r\nx-rewrite-body: 1\r\ncontent-length: 90\r\n\r\n${"x".repeat(80)}`);
  setTimeout(() => socket.destroy(), 50);
  const [event] = await harness.settled("request", 1);
  assert.equal(event?.error, "the client gave up");
  assert.equal(harness.dials.length, 0);
  await post(harness, "x".repeat(90));
  assert.deepEqual(seen.map(framing), [["90", undefined]]);
});
