/**
 * What a guest sends to be read twice differently. The upstream records every byte that arrives: for a request that is
 * refused there is none, and for one that is carried exactly one well-formed request, however it came in.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, exchangeRaw, openH2, readH2 } from "./clients.ts";
import { fakeSecrets, PLACEHOLDER } from "./fake-secrets.ts";
import { type Harness, HOST, startHarness } from "./harness.ts";
import { httpsServer, rawServer, type TestServer } from "./servers.ts";

interface Recorder extends TestServer {
  arrived(): string;
}

/** Answers each request head with `ok`, and records everything. */
async function recorder(tls = true): Promise<Recorder> {
  const chunks: Buffer[] = [];
  const server = await rawServer(tls, (socket) => {
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      const heads = chunk.toString("latin1").split(" HTTP/1.1\r\n").length - 1;
      for (let head = 0; head < heads; head++) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  return Object.assign(server, { arrived: () => Buffer.concat(chunks).toString("latin1") });
}

const REFUSED: [what: string, request: string, status: number | null][] = [
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 400],
  ["two Host fields", `GET / HTTP/1.1\r\nhost: ${HOST}\r\nhost: ${HOST}\r\n\r\n`, 400],
  ["two Host fields that differ", `GET / HTTP/1.1\r\nhost: ${HOST}\r\nHost: evil.example.com\r\n\r\n`, 400],
  ["another Host", "GET / HTTP/1.1\r\nhost: evil.example.com\r\n\r\n", 421],
  ["a Host below", `GET / HTTP/1.1\r\nhost: x.${HOST}\r\n\r\n`, 421],
  ["a Host with two final dots", `GET / HTTP/1.1\r\nhost: ${HOST}..\r\n\r\n`, 421],
  ["another port", `GET / HTTP/1.1\r\nhost: ${HOST}:8443\r\n\r\n`, 421],
  ["an empty port", `GET / HTTP/1.1\r\nhost: ${HOST}:\r\n\r\n`, 400],
  ["a port that is none", `GET / HTTP/1.1\r\nhost: ${HOST}:443x\r\n\r\n`, 400],
  ["a path in Host", `GET / HTTP/1.1\r\nhost: ${HOST}/x\r\n\r\n`, 421],
  ["user information in Host", `GET / HTTP/1.1\r\nhost: a@${HOST}\r\n\r\n`, 400],
  ["a list of hosts", `GET / HTTP/1.1\r\nhost: ${HOST}, evil.example.com\r\n\r\n`, 421],
  ["a zone id", "GET / HTTP/1.1\r\nhost: [fe80::1%25eth0]\r\n\r\n", 400],
  ["an address in decimal", "GET / HTTP/1.1\r\nhost: 2130706433\r\n\r\n", 421],
  ["an empty Host", "GET / HTTP/1.1\r\nhost:\r\n\r\n", 400],
  ["absolute form for another host", `GET https://evil.example.com/ HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 421],
  ["absolute form with another Host", `GET https://${HOST}/ HTTP/1.1\r\nhost: evil.example.com\r\n\r\n`, 421],
  ["absolute form with another scheme", `GET http://${HOST}/ HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 421],
  ["absolute form with user information", `GET https://a:b@${HOST}/ HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 400],
  ["authority form", `GET ${HOST}:443 HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 400],
  ["CONNECT to itself", `CONNECT ${HOST}:443 HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 405],
  ["CONNECT elsewhere", "CONNECT evil.example.com:443 HTTP/1.1\r\nhost: evil.example.com:443\r\n\r\n", 405],
  ["an asterisk with GET", `GET * HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 400],
  ["a fragment", `GET /a#b HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 400],
  ["a space in the target", `GET /a b HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 400],
  ["a control character in the target", `GET /a\x01b HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 400],
  ["a method in lower case", `get / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 400],
  ["an unknown method", `FOO / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 400],
  ["CL and TE", post("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"), 400],
  ["TE and CL", post("transfer-encoding: chunked\r\ncontent-length: 5\r\n", "0\r\n\r\n"), 400],
  ["CL twice", post("content-length: 5\r\ncontent-length: 6\r\n", "hello"), 400],
  ["CL twice, the same", post("content-length: 5\r\ncontent-length: 5\r\n", "hello"), 400],
  ["a list in CL", post("content-length: 5, 5\r\n", "hello"), 400],
  ["a sign in CL", post("content-length: +5\r\n", "hello"), 400],
  ["hexadecimal CL", post("content-length: 0x5\r\n", "hello"), 400],
  ["negative CL", post("content-length: -1\r\n", ""), 400],
  ["a huge CL", post("content-length: 99999999999999999999\r\n", ""), 400],
  ["TE twice", post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"), null],
  ["TE of two codings", post("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501],
  ["TE that ends otherwise", post("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"), 400],
  ["TE identity", post("transfer-encoding: identity\r\n", ""), 501],
  ["TE with a tab", post("transfer-encoding:\tchunked\x0b\r\n", "0\r\n\r\n"), 400],
  ["TE with a space before the colon", post("transfer-encoding : chunked\r\n", "0\r\n\r\n"), 400],
  ["TE in HTTP/1.0", post("transfer-encoding: chunked\r\n", "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"), 400],
  ["obs-fold", `GET / HTTP/1.1\r\nhost: ${HOST}\r\nx: a\r\n b\r\n\r\n`, 400],
  ["a folded Host", `GET / HTTP/1.1\r\nhost:\r\n ${HOST}\r\n\r\n`, 400],
  ["a bare LF after the request line", `GET / HTTP/1.1\nhost: ${HOST}\r\n\r\n`, 400],
  ["a bare LF in a field", `GET / HTTP/1.1\r\nhost: ${HOST}\nx: y\r\n\r\n`, 400],
  ["a bare CR in a field", `GET / HTTP/1.1\r\nhost: ${HOST}\r\nx: a\rb\r\n\r\n`, 400],
  ["a NUL in a field", `GET / HTTP/1.1\r\nhost: ${HOST}\r\nx: a\0b\r\n\r\n`, 400],
  ["a field without a colon", `GET / HTTP/1.1\r\nhost: ${HOST}\r\nnonsense\r\n\r\n`, 400],
  ["a field whose name has a space", `GET / HTTP/1.1\r\nhost: ${HOST}\r\nx y: z\r\n\r\n`, 400],
  ["a space before the first field", `GET / HTTP/1.1\r\n host: ${HOST}\r\n\r\n`, 400],
  ["another version", `GET / HTTP/1.2\r\nhost: ${HOST}\r\n\r\n`, 400],
  ["HTTP/2's preface without it", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", null],
  ["HTTP/0.9", "GET /\r\n", 400],
  ["not HTTP at all", "\x16\x03\x01\x00\xa5", 400],
  ["too large a header", `GET / HTTP/1.1\r\nhost: ${HOST}\r\nx: ${"y".repeat(70_000)}\r\n\r\n`, 431],
  ["too many fields", `GET / HTTP/1.1\r\nhost: ${HOST}\r\n${"a: b\r\n".repeat(600)}\r\n`, 431],
  [
    "an upgrade to something else",
    `GET / HTTP/1.1\r\nhost: ${HOST}\r\nconnection: upgrade\r\nupgrade: tls/1.0\r\n\r\n`,
    501,
  ],
  ["an expectation", post("expect: 200-maybe\r\ncontent-length: 1\r\n", "x"), 417],
];

function post(fields: string, body: string): string {
  return `POST / HTTP/1.1\r\nhost: ${HOST}\r\n${fields}\r\n${body}`;
}

for (const [what, request, status] of REFUSED) {
  test(`${what}: nothing of it leaves`, async () => {
    await using upstream = await recorder();
    await using harness = await startHarness({ upstreamPort: upstream.port });
    const socket = await harness.connect();
    // A second request rides along: refused means that the connection is over.
    const answer = await exchangeRaw(socket, `${request}GET /second HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
    if (status === null) assert.doesNotMatch(answer, /^HTTP\/1\.1 [123]/);
    else assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.equal(answer.split("HTTP/1.1 ").length - 1 <= 1, true, answer);
    assert.equal(upstream.arrived(), "");
    assert.equal(harness.dials.length, 0);
  });
}

test("every refusal is in the audit log", async () => {
  await using harness = await startHarness({ upstreamPort: 1 });
  await exchangeRaw(await harness.connect(), "GET /x?a=1 HTTP/1.1\r\nhost: evil.example.com\r\n\r\n");
  await exchangeRaw(await harness.connect(), "nonsense\r\n\r\n");
  const events = await harness.settled("request", 2);
  assert.deepEqual(
    events.map(({ verdict, status, host, url }) => ({ verdict, status, host, url })),
    [
      { verdict: "deny", status: 421, host: HOST, url: `https://${HOST}/x?a` },
      { verdict: "deny", status: 400, host: HOST, url: `https://${HOST}` },
    ],
  );
});

/** What must arrive, to the byte. */
const CARRIED: [what: string, request: string, arrives: string][] = [
  [
    "a request is written anew, without what belongs to the connection",
    `GET /a?b HTTP/1.1\r\nHost: ${HOST.toUpperCase()}.:443\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n` +
      "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: trailers, deflate;q=0.5\r\nX-Kept:   v  \r\n\r\n",
    `GET /a?b HTTP/1.1\r\nhost: ${HOST}\r\nTE: trailers\r\nconnection: TE\r\nX-Kept: v\r\n\r\n`,
  ],
  [
    "absolute form becomes origin form",
    `GET https://${HOST}/a?b HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n\r\n`,
    `GET /a?b HTTP/1.1\r\nhost: ${HOST}\r\nConnection: keep-alive\r\n\r\n`,
  ],
  [
    "chunks are chunked anew, without extensions",
    post("transfer-encoding: chunked\r\nconnection: close\r\n", "3;x=y\r\nabc\r\n0\r\n\r\n"),
    `POST / HTTP/1.1\r\nhost: ${HOST}\r\ntransfer-encoding: chunked\r\nConnection: keep-alive\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
  ],
  [
    "Connection does not take the length away",
    post("content-length: 5\r\nconnection: close, content-length, host\r\n", "hello"),
    `POST / HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: 5\r\nConnection: keep-alive\r\n\r\nhello`,
  ],
  [
    "a path that looks like an authority stays a path",
    `GET //evil.example.com/x HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n\r\n`,
    `GET //evil.example.com/x HTTP/1.1\r\nhost: ${HOST}\r\nConnection: keep-alive\r\n\r\n`,
  ],
  [
    "an upgrade to h2c is not taken up",
    `GET / HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close, Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: ${HOST}\r\nConnection: keep-alive\r\n\r\n`,
  ],
];

for (const [what, request, arrives] of CARRIED) {
  test(what, async () => {
    await using upstream = await recorder();
    await using harness = await startHarness({ upstreamPort: upstream.port });
    const answer = await exchangeRaw(await harness.connect(), request);
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.equal(upstream.arrived(), arrives);
  });
}

test("pipelined requests are answered in order, one at a time", async () => {
  const order: string[] = [];
  let open = 0;
  await using upstream = await rawServer(true, (socket) => {
    socket.on("data", (chunk: Buffer) => {
      const [, path = ""] = chunk.toString().split(" ");
      order.push(`${path} ${++open}`);
      setTimeout(() => {
        open--;
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${path.length}\r\n\r\n${path}`);
      }, 20);
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const get = (path: string, more = ""): string => `GET ${path} HTTP/1.1\r\nhost: ${HOST}\r\n${more}\r\n`;
  const answer = await exchangeRaw(await harness.connect(), get("/a") + get("/b") + get("/c", "connection: close\r\n"));
  assert.deepEqual(answer.match(/\r\n\r\n\/[a-z]+/g), ["\r\n\r\n/a", "\r\n\r\n/b", "\r\n\r\n/c"]);
  assert.deepEqual(order, ["/a 1", "/b 1", "/c 1"]);
});

test("what is pipelined behind a request that closes the connection is not carried", async () => {
  await using upstream = await recorder();
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const socket = await harness.connect();
  socket.write(`GET /last HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n\r\n`);
  await exchangeRaw(socket, `GET /never HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
  assert.doesNotMatch(upstream.arrived(), /never/);
});

test("what is pipelined behind a refused request is not carried", async () => {
  await using upstream = await recorder();
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const answer = await exchangeRaw(
    await harness.connect(),
    `GET /one HTTP/1.1\r\nhost: ${HOST}\r\n\r\nGET /two HTTP/1.1\r\nhost: evil.example.com\r\n\r\nGET /three HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`,
  );
  assert.match(answer, /^HTTP\/1\.1 200 [^]*HTTP\/1\.1 421 /);
  assert.doesNotMatch(upstream.arrived(), /two|three/);
});

test("a flood of pipelined requests ends the connection", async () => {
  await using upstream = await rawServer(true, () => undefined);
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const answer = await exchangeRaw(await harness.connect(), `GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`.repeat(1000));
  assert.equal(answer, "");
  assert.ok(harness.dials.length <= 1);
});

test("a broken chunk in a body ends both connections, and the upstream never sees its end", async () => {
  for (const broken of [
    "zz\r\nabc\r\n",
    "-1\r\n",
    "3\nabc\r\n",
    "3\r\nabcX",
    "fffffffffffffffff\r\n",
    "3 \r\nabc\r\n",
  ]) {
    await using upstream = await recorder();
    await using harness = await startHarness({ upstreamPort: upstream.port });
    const socket = await harness.connect();
    socket.write(post("transfer-encoding: chunked\r\n", "2\r\nok\r\n"));
    await new Promise((resolve) => setTimeout(resolve, 30));
    await exchangeRaw(socket, `${broken}0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
    assert.doesNotMatch(upstream.arrived(), /\r\n0\r\n\r\n|smuggled/, broken);
  }
});

test("a plain connection is held to its name and scheme as well", async () => {
  await using upstream = await recorder(false);
  await using harness = await startHarness({ upstreamPort: upstream.port, scheme: "http" });
  const cases: [string, number][] = [
    ["GET / HTTP/1.1\r\nhost: evil.example.com\r\n\r\n", 421],
    [`GET https://${HOST}/ HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 421],
    [`GET / HTTP/1.1\r\nhost: ${HOST}:443\r\n\r\n`, 421],
    [`CONNECT ${HOST}:80 HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, 405],
  ];
  for (const [request, status] of cases) {
    assert.match(await exchangeRaw(await harness.connect(), request), new RegExp(`^HTTP/1\\.1 ${status} `));
  }
  assert.equal(upstream.arrived(), "");
});

test("an address is its own name, IPv6 in any spelling", async () => {
  await using upstream = await recorder(false);
  await using harness = await startHarness({ upstreamPort: upstream.port, scheme: "http", host: "2001:db8::1" });
  const answer = await exchangeRaw(
    await harness.connect(),
    "GET / HTTP/1.1\r\nhost: [2001:DB8:0:0::1]:80\r\nconnection: close\r\n\r\n",
  );
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.match(upstream.arrived(), /^GET \/ HTTP\/1\.1\r\nhost: \[2001:db8::1\]\r\n/);
});

const H2_REFUSED: [what: string, headers: Record<string, string>, status: number][] = [
  ["another :authority", { ":authority": "evil.example.com" }, 421],
  ["another port", { ":authority": `${HOST}:8443` }, 421],
  ["a Host that differs from :authority", { host: "evil.example.com" }, 421],
  ["user information", { ":authority": `a@${HOST}` }, 400],
  ["another scheme", { ":scheme": "http" }, 421],
  ["a method in lower case", { ":method": "get" }, 400],
  ["a method that injects", { ":method": "GET / HTTP/1.1" }, 400],
  ["a path that injects", { ":path": "/ HTTP/1.1" }, 400],
  ["a path that is none", { ":path": "x" }, 400],
  ["an absolute form", { ":path": `https://${HOST}/` }, 400],
  ["a fragment", { ":path": "/a#b" }, 400],
];

for (const [what, headers, status] of H2_REFUSED) {
  test(`HTTP/2, ${what}: nothing of it leaves, and the session goes on`, async () => {
    await using upstream = await recorder();
    await using harness = await startHarness({ upstreamPort: upstream.port });
    const session = await openH2(harness);
    const stream = session.request({ ":path": "/", ...headers });
    const outcome = await readH2(stream).then(
      (got) => got.headers[":status"],
      (error: unknown) => error,
    );
    // nghttp2 resets some of them itself.
    if (typeof outcome === "number") assert.equal(outcome, status);
    else assert.match(String(outcome), /PROTOCOL_ERROR|aborted|prematurely/i);
    assert.equal(upstream.arrived(), "");
    assert.equal((await readH2(session.request({ ":path": "/" }))).headers[":status"], 200);
    session.destroy();
  });
}

test("HTTP/2, CONNECT and its extended form are refused", async () => {
  await using harness = await startHarness({ upstreamPort: 1 });
  const session = await openH2(harness);
  await new Promise((resolve) => session.once("remoteSettings", resolve));
  assert.notEqual(session.remoteSettings.enableConnectProtocol, true);
  const stream = session.request({ ":method": "CONNECT", ":authority": `${HOST}:443` });
  assert.equal((await readH2(stream)).headers[":status"], 405);
  session.destroy();
});

test("HTTP/2 to HTTP/1.1, what would be framing or a connection's own is not passed on", async () => {
  await using upstream = await recorder();
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const stream = session.request({ ":method": "POST", ":path": "/", te: "trailers", "content-length": "5" });
  stream.end("hello");
  assert.equal((await readH2(stream)).headers[":status"], 200);
  assert.equal(
    upstream.arrived(),
    `POST / HTTP/1.1\r\nhost: ${HOST}\r\nte: trailers\r\nconnection: TE\r\ncontent-length: 5\r\n\r\nhello`,
  );
  session.destroy();
});

test("HTTP/2, a body that is not as long as it says ends the request upstream", async () => {
  await using upstream = await recorder();
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const stream = session.request({ ":method": "POST", ":path": "/", "content-length": "50" });
  stream.on("error", () => undefined);
  stream.end("hello GET /smuggled HTTP/1.1\r\n\r\n");
  await new Promise((resolve) => stream.once("close", resolve));
  assert.ok(!upstream.arrived().includes("\r\n\r\nhello GET /smuggled HTTP/1.1\r\n\r\n".repeat(2)));
  const outcome: unknown = await readH2(session.request({ ":path": "/" })).then((got) => got.headers[":status"]);
  assert.equal(outcome, 200);
  session.destroy();
});

test("a placeholder in a trailer for a foreign host never leaves", async () => {
  await using upstream = await recorder();
  await using harness: Harness = await startHarness({
    upstreamPort: upstream.port,
    secrets: fakeSecrets("other.example.com"),
  });
  const answer = await exchangeRaw(
    await harness.connect(),
    post("transfer-encoding: chunked\r\nconnection: close\r\n", `3\r\nabc\r\n0\r\nx-t: ${PLACEHOLDER}\r\n\r\n`),
  );
  assert.match(answer, /^(HTTP\/1\.1 403 |HTTP\/1\.1 200 |$)/);
  assert.ok(!upstream.arrived().includes(PLACEHOLDER));
});

test("Connection cannot take away how a body is to be read", async () => {
  let seen: unknown;
  await using upstream = await httpsServer((request, response) => {
    seen = [request.headers["content-encoding"], request.headers["content-type"], request.headers["x-hop"]];
    request.resume().once("end", () => response.end());
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const headers = {
    "content-encoding": "identity",
    "content-type": "text/plain",
    "x-hop": "1",
    connection: "content-encoding, Content-Type, x-hop",
  };
  await ask(harness, "/", { method: "POST", body: "x", headers });
  assert.deepEqual(seen, ["identity", "text/plain", undefined]);
});
