import assert from "node:assert/strict";
import { once } from "node:events";
import { constants, type ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { openH2, readAll, readH2 } from "./clients.ts";
import { PLACEHOLDER, VALUE } from "./fake-secrets.ts";
import { HOST, startHarness } from "./harness.ts";
import { h2cServer, http2Server, httpServer, httpsServer } from "./servers.ts";

test("an HTTP/2 request is carried by HTTP/2, with trailers both ways and nothing held back", async () => {
  await using upstream = await http2Server();
  upstream.server.on("stream", (stream: ServerHttp2Stream, headers) => {
    let trailers: Record<string, unknown> = {};
    stream.on("trailers", (fields) => (trailers = fields));
    stream.respond({ ":status": 200, "x-authority": headers[":authority"] ?? "" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "x-seen": String(trailers["x-last"]) }));
    stream.on("data", (chunk: Buffer) => stream.write(`<${chunk.toString()}>`));
    stream.on("end", () => stream.end());
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const stream = session.request(
    { ":method": "POST", ":path": "/svc/Method", te: "trailers" },
    { waitForTrailers: true },
  );
  stream.on("wantTrailers", () => stream.sendTrailers({ "x-last": PLACEHOLDER }));
  stream.write("one");
  await once(stream, "response");
  const [first] = (await once(stream, "data")) as [Buffer];
  assert.equal(first.toString(), "<one>"); // before the request is complete
  let trailers: Record<string, unknown> = {};
  stream.on("trailers", (fields) => (trailers = fields));
  stream.end("two");
  assert.equal((await readAll(stream)).toString(), "<two>");
  assert.equal(trailers["grpc-status"], "0");
  assert.equal(trailers["x-seen"], PLACEHOLDER); // it was the value there
  session.close();
  const [event] = await harness.settled("request", 1);
  assert.deepEqual(event?.secrets, ["API_KEY"]);
  assert.deepEqual(harness.dials[0]?.alpn, ["h2", "http/1.1"]);
});

test("a response of trailers only, as gRPC sends for an error, stays one", async () => {
  await using upstream = await http2Server();
  upstream.server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200, "grpc-status": "12", "content-type": "application/grpc" }, { endStream: true });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const stream = session.request({ ":method": "POST", ":path": "/svc/None" });
  stream.end("x");
  const [headers, flags] = (await once(stream, "response")) as [Record<string, unknown>, number];
  assert.equal(headers["grpc-status"], "12");
  assert.equal(flags & constants.NGHTTP2_FLAG_END_STREAM, constants.NGHTTP2_FLAG_END_STREAM);
  session.close();
});

test("an HTTP/2 request goes to an upstream that speaks HTTP/1.1 only, its cookies in one field", async () => {
  await using upstream = await httpsServer((request, response) => {
    response.setHeader("trailer", "x-after");
    response.setHeader("connection", "keep-alive, x-hop");
    response.setHeader("x-hop", "1");
    response.write(JSON.stringify({ cookies: request.rawHeaders.filter((_, at, all) => all[at - 1] === "cookie") }));
    response.addTrailers({ "x-after": "done" });
    response.end();
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  for (let round = 0; round < 2; round++) {
    const got = await readH2(session.request({ ":path": "/", cookie: ["a=1", "b=2"] }));
    assert.equal(got.body.toString(), '{"cookies":["a=1; b=2"]}');
    assert.equal(got.headers["x-hop"], undefined);
    assert.equal(got.headers["transfer-encoding"], undefined);
    assert.equal(got.trailers?.["x-after"], "done");
  }
  assert.equal(harness.dials.length, 1); // the connection was kept
  session.close();
});

test("requests that come at once share one HTTP/2 connection upstream", async () => {
  await using upstream = await http2Server();
  upstream.server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.respond({ ":status": 200 });
    stream.end(headers[":path"]);
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const all = await Promise.all(Array.from({ length: 40 }, (_, at) => readH2(session.request({ ":path": `/${at}` }))));
  assert.deepEqual(
    all.map((got) => got.body.toString()),
    Array.from({ length: 40 }, (_, at) => `/${at}`),
  );
  assert.equal(harness.dials.length, 1);
  session.close();
});

test("HTTP/2 with prior knowledge on a plain port is carried by the same", async () => {
  await using upstream = await h2cServer();
  upstream.server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(`${headers[":scheme"]} ${headers[":authority"]}`);
  });
  for (const throughDuplex of [false, true]) {
    await using harness = await startHarness({ upstreamPort: upstream.port, scheme: "http", throughDuplex });
    const session = await openH2(harness, "http");
    const got = await readH2(session.request({ ":path": "/" }));
    assert.equal(got.body.toString(), `http ${HOST}`);
    assert.equal(got.trailers?.["grpc-status"], "0");
    session.close();
  }
});

test("HTTP/2 with prior knowledge to a plain upstream that does not speak it is answered with 502", async () => {
  await using upstream = await httpServer((_request, response) => response.end());
  await using harness = await startHarness({ upstreamPort: upstream.port, scheme: "http" });
  const session = await openH2(harness, "http");
  const got = await readH2(session.request({ ":path": "/" }));
  assert.equal(got.headers[":status"], 502);
  session.close();
});

test("a guest that resets its stream ends the request upstream", async () => {
  await using upstream = await http2Server();
  const aborted = new Promise<number>((resolve) => {
    upstream.server.on("stream", (stream: ServerHttp2Stream) => {
      stream.on("error", () => undefined);
      stream.respond({ ":status": 200 });
      stream.write("begun");
      stream.on("close", () => resolve(stream.rstCode));
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const stream = session.request({ ":path": "/" });
  await once(stream, "data");
  stream.close(constants.NGHTTP2_CANCEL);
  assert.notEqual(await aborted, constants.NGHTTP2_NO_ERROR);
  const [event] = await harness.settled("request", 1);
  assert.equal(event?.error, "the client gave up");
  session.close();
});

test("an upstream that dies in the middle of a response, however politely, resets the guest's stream", async () => {
  const deaths: ((stream: ServerHttp2Stream) => void)[] = [
    (stream) => stream.session?.destroy(),
    (stream) => stream.session?.socket.destroy(),
    (stream) => stream.destroy(new Error("gone")),
    // END_STREAM does not come before these: they have more to say.
    (stream) => rudely(stream, constants.NGHTTP2_NO_ERROR),
    (stream) => rudely(stream, constants.NGHTTP2_CANCEL),
  ];
  for (const die of deaths) await diesInTheMiddle(die);
});

function rudely(stream: ServerHttp2Stream, code: number): void {
  stream.on("wantTrailers", () => undefined);
  stream.close(code);
}

async function diesInTheMiddle(die: (stream: ServerHttp2Stream) => void): Promise<void> {
  await using upstream = await http2Server();
  upstream.server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined);
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.write("half");
    setTimeout(() => die(stream), 20);
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const stream = session.request({ ":path": "/" });
  const ended = new Promise<string>((resolve) => {
    stream.on("end", () => resolve("end"));
    stream.on("error", (error: Error) => resolve(error.message));
  });
  stream.resume();
  assert.match(await ended, /NGHTTP2_INTERNAL_ERROR/, String(die));
  const [event] = await harness.settled("request", 1);
  assert.match(event?.error ?? "", /cut|closed/i);
  session.close();
}

test("early hints reach an HTTP/2 guest with no value in them", async () => {
  await using upstream = await http2Server();
  upstream.server.on("stream", (stream: ServerHttp2Stream) => {
    stream.additionalHeaders({ ":status": 103, link: `</a?${VALUE}>; rel=preload` });
    stream.respond({ ":status": 200 });
    stream.end("ok");
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const stream = session.request({ ":path": "/" });
  const hints = once(stream, "headers");
  const got = await readH2(stream);
  const [fields] = (await hints) as [Record<string, unknown>];
  assert.equal(fields.link, `</a?${PLACEHOLDER}>; rel=preload`);
  assert.equal(got.body.toString(), "ok");
  session.close();
});

test("an answer that comes before the request is complete ends it, and both sessions go on", async () => {
  await using upstream = await http2Server();
  upstream.server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => undefined);
    stream.respond({ ":status": headers[":path"] === "/early" ? 413 : 200 });
    stream.end("no");
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const stream = session.request({ ":method": "POST", ":path": "/early" });
  stream.on("error", () => undefined);
  stream.write(Buffer.alloc(1000));
  const got = await readH2(stream);
  assert.equal(got.headers[":status"], 413);
  if (!stream.closed) await once(stream, "close");
  assert.equal(stream.rstCode, constants.NGHTTP2_NO_ERROR);
  assert.equal((await readH2(session.request({ ":path": "/" }))).headers[":status"], 200);
  assert.equal(harness.dials.length, 1);
  session.close();
});

test("one session's windows hold a slow reader's response back", async () => {
  await using upstream = await http2Server();
  let written = 0;
  upstream.server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined);
    stream.respond({ ":status": 200 });
    const chunk = Buffer.alloc(64 * 1024);
    const write = (): void => {
      while (!stream.destroyed && written < 64 * 1024 * 1024) {
        written += chunk.length;
        if (!stream.write(chunk)) {
          stream.once("drain", write);
          return;
        }
      }
      stream.end();
    };
    write();
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const stream = session.request({ ":path": "/" });
  await once(stream, "response");
  let before = -1;
  while (written !== before) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(written < 4 * 1024 * 1024, `${written} bytes were taken from the upstream for a reader that reads nothing`);
  stream.close(constants.NGHTTP2_CANCEL);
  session.close();
});
