import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { WebSocket, WebSocketServer, type ServerOptions } from "ws";
import { exchangeRaw } from "./clients.ts";
import { fakeSecrets, PLACEHOLDER, VALUE } from "./fake-secrets.ts";
import { type Harness, HOST, startHarness, upstreamAuthority } from "./harness.ts";
import { httpsServer } from "./servers.ts";

interface WebSocketUpstream extends AsyncDisposable {
  port: number;
  server: WebSocketServer;
}

async function webSocketServer(options: ServerOptions = {}): Promise<WebSocketUpstream> {
  const https = createServer({ SNICallback: (name, done) => done(null, upstreamAuthority.contextFor(name)) });
  const server = new WebSocketServer({ server: https, ...options });
  https.listen(0, "127.0.0.1");
  await once(https, "listening");
  return {
    port: (https.address() as AddressInfo).port,
    server,
    async [Symbol.asyncDispose]() {
      for (const client of server.clients) client.terminate();
      https.closeAllConnections();
      await new Promise((resolve) => https.close(resolve));
    },
  };
}

function openWebSocket(harness: Harness, path: string, protocols: string[] = [], headers = {}): WebSocket {
  const options = { ca: harness.ca, servername: HOST, headers: { host: HOST, ...headers } };
  return new WebSocket(`wss://127.0.0.1:${harness.clientPort}${path}`, protocols, options);
}

test("messages pass whole, with the secret one way and the placeholder the other", async () => {
  await using upstream = await webSocketServer();
  const seen: string[] = [];
  upstream.server.on("connection", (socket, request) => {
    seen.push(`${request.url} ${request.headers.authorization}`);
    socket.on("message", (data: Buffer, isBinary) => {
      seen.push(data.toString());
      socket.send(data, { binary: isBinary });
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const client = openWebSocket(harness, `/ws/../x?k=${PLACEHOLDER}`, [], { authorization: PLACEHOLDER });
  await once(client, "open");
  client.send(`hello ${PLACEHOLDER}`);
  const [text, isBinary] = (await once(client, "message")) as [Buffer, boolean];
  assert.equal(text.toString(), `hello ${PLACEHOLDER}`);
  assert.equal(isBinary, false);
  client.send(Buffer.from([0, 255, 1]));
  const [bytes, binaryToo] = (await once(client, "message")) as [Buffer, boolean];
  assert.deepEqual([...bytes], [0, 255, 1]);
  assert.equal(binaryToo, true);
  client.close(4321, `bye ${PLACEHOLDER}`);
  await once(client, "close");
  assert.equal(seen[0], `/x?k=${VALUE} ${VALUE}`);
  assert.equal(seen[1], `hello ${VALUE}`);
  const [event] = await harness.settled("request", 1);
  assert.equal(event?.status, 101);
  assert.deepEqual(event.secrets, ["API_KEY"]);
  assert.ok((event.sentBytes ?? 0) > 10 && (event.receivedBytes ?? 0) > 10);
});

test("close codes and reasons, pings and pongs cross from end to end", async () => {
  await using upstream = await webSocketServer({ autoPong: false });
  const closed = new Promise<[number, string]>((resolve) => {
    upstream.server.on("connection", (socket) => {
      socket.on("ping", (data: Buffer) => socket.pong(`${data.toString()}!`));
      socket.on("message", () => socket.close(4400, "enough"));
      socket.on("close", (code, reason) => resolve([code, reason.toString()]));
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const client = openWebSocket(harness, "/");
  await once(client, "open");
  client.ping("p1");
  const [pong] = (await once(client, "pong")) as [Buffer];
  assert.equal(pong.toString(), "p1!");
  client.send("x");
  const [code, reason] = (await once(client, "close")) as [number, Buffer];
  assert.deepEqual([code, reason.toString()], [4400, "enough"]);
  assert.equal((await closed)[0], 4400);
});

test("the guest's close code reaches the upstream", async () => {
  await using upstream = await webSocketServer();
  const closed = new Promise<[number, string]>((resolve) => {
    upstream.server.on("connection", (socket) =>
      socket.on("close", (code, reason) => resolve([code, reason.toString()])),
    );
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const client = openWebSocket(harness, "/");
  await once(client, "open");
  client.close(4001, "done");
  assert.deepEqual(await closed, [4001, "done"]);
});

test("the upstream chooses the subprotocol, or none", async () => {
  await using upstream = await webSocketServer({ handleProtocols: (offered) => (offered.has("two") ? "two" : false) });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const client = openWebSocket(harness, "/", ["one", "two"]);
  await once(client, "open");
  assert.equal(client.protocol, "two");
  client.terminate();
  const socket = await harness.connect(["http/1.1"]);
  const pending = exchangeRaw(socket, handshake("sec-websocket-protocol: other\r\n"));
  setTimeout(() => socket.end(), 200);
  const answer = await pending;
  assert.match(answer, /^HTTP\/1\.1 101 /);
  assert.doesNotMatch(answer, /protocol:/i);
});

test("permessage-deflate is agreed on neither leg", async () => {
  await using upstream = await webSocketServer({ perMessageDeflate: true });
  const offered = new Promise<string | undefined>((resolve) => {
    upstream.server.on("connection", (_socket, request) => resolve(request.headers["sec-websocket-extensions"]));
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const client = openWebSocket(harness, "/");
  await once(client, "open");
  assert.equal(client.extensions, "");
  assert.equal(await offered, undefined);
  client.terminate();
});

test("a handshake that the upstream refuses is answered with the upstream's own words", async () => {
  await using upstream = await httpsServer((_request, response) => {
    response.writeHead(401, { "www-authenticate": "Bearer", "x-scrub-body": "1" });
    response.end(`no: ${VALUE}`);
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const answer = await exchangeRaw(await harness.connect(["http/1.1"]), handshake());
  assert.match(answer, /^HTTP\/1\.1 401 Unauthorized\r\n/);
  assert.match(answer, /www-authenticate: Bearer\r\n/);
  assert.ok(answer.endsWith(`\r\nno: ${PLACEHOLDER}\r\n0\r\n\r\n`));
});

test("a denied handshake is answered with 403 and never dialled", async () => {
  await using upstream = await webSocketServer();
  await using harness = await startHarness({
    upstreamPort: upstream.port,
    decide: () => ({
      verdict: "deny",
      rule: null,
      reason: "no rule allows it",
      fix: ["net", "allow", "SANDBOX", HOST],
    }),
  });
  const answer = await exchangeRaw(await harness.connect(["http/1.1"]), handshake());
  assert.match(answer, /^HTTP\/1\.1 403 Forbidden\r\n/);
  assert.match(answer, /x-sbx-blocked: 1\r\n/);
  assert.match(answer, /"fix":"sbx net allow box api\.example\.com"/);
  assert.equal(harness.dials.length, 0);
});

test("a placeholder in a message to a host that it does not belong to closes both sides", async () => {
  await using upstream = await webSocketServer();
  const seen: string[] = [];
  const closed = new Promise<number>((resolve) => {
    upstream.server.on("connection", (socket) => {
      socket.on("message", (data: Buffer) => seen.push(data.toString()));
      socket.on("close", resolve);
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, secrets: fakeSecrets("other.example.com") });
  const client = openWebSocket(harness, "/");
  await once(client, "open");
  client.send("fine");
  client.send(PLACEHOLDER);
  const [code] = (await once(client, "close")) as [number];
  assert.equal(code, 1008);
  assert.equal(await closed, 1001);
  assert.deepEqual(seen, ["fine"]);
  const [leak] = await harness.settled("leak", 1);
  assert.equal(leak?.verdict, "deny");
});

test("a message above the limit ends the connection, and a slow receiver holds the sender back", async () => {
  await using upstream = await webSocketServer();
  upstream.server.on("connection", (socket) => socket.pause());
  await using harness = await startHarness({
    upstreamPort: upstream.port,
    limits: { webSocketMessageBytes: 1024 * 1024, webSocketBytes: 8 * 1024 * 1024 },
  });
  const client = openWebSocket(harness, "/");
  await once(client, "open");
  const message = Buffer.alloc(512 * 1024);
  for (let sent = 0; sent < 64; sent++) client.send(message);
  let before = -1;
  while (client.bufferedAmount !== before) {
    before = client.bufferedAmount;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(before > 8 * 1024 * 1024, `${before} bytes are still with the client`);
  client.terminate();
  const other = openWebSocket(harness, "/");
  await once(other, "open");
  other.send(Buffer.alloc(2 * 1024 * 1024));
  const [code] = (await once(other, "close")) as [number];
  assert.equal(code, 1009);
});

test("unfinished messages are bounded in all WebSockets together", async () => {
  await using upstream = await webSocketServer();
  await using harness = await startHarness({
    upstreamPort: upstream.port,
    limits: { webSocketBytes: 300 * 1024 },
  });
  const one = openWebSocket(harness, "/");
  const two = openWebSocket(harness, "/");
  await Promise.all([once(one, "open"), once(two, "open")]);
  one.send(Buffer.alloc(200 * 1024), { fin: false });
  await new Promise((resolve) => setTimeout(resolve, 100));
  two.send(Buffer.alloc(200 * 1024), { fin: false });
  await once(two, "close");
  assert.equal(one.readyState, WebSocket.OPEN);
  one.terminate();
});

test("the death of either side is the death of the other", async () => {
  await using upstream = await webSocketServer();
  const upstreamClosed = new Promise<number>((resolve) => {
    upstream.server.once("connection", (socket) => socket.on("close", resolve));
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const one = openWebSocket(harness, "/");
  await once(one, "open");
  one.terminate();
  assert.equal(await upstreamClosed, 1006);
  upstream.server.once("connection", (socket) => setTimeout(() => socket.terminate(), 20));
  const two = openWebSocket(harness, "/");
  const [code] = (await once(two, "close")) as [number];
  assert.equal(code, 1006);
});

test("a handshake with a body, of another version or without a key is refused, and so are other upgrades", async () => {
  await using upstream = await webSocketServer();
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const cases: [request: string, status: number][] = [
    [handshake("content-length: 5\r\n").replace(/$/, "hello"), 501],
    [handshake().replace("version: 13", "version: 8"), 426],
    [handshake().replace(/sec-websocket-key: .*\r\n/, ""), 400],
    [handshake().replace("GET", "POST"), 405],
    [handshake().replace("upgrade: websocket", "upgrade: tcp"), 501],
    [handshake().replace(`host: ${HOST}`, "host: evil.example.com"), 421],
  ];
  for (const [request, status] of cases) {
    const answer = await exchangeRaw(await harness.connect(["http/1.1"]), request);
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), request);
  }
  assert.equal(harness.dials.length, 0);
});

function handshake(more = ""): string {
  return (
    `GET /ws HTTP/1.1\r\nhost: ${HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
    `sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`
  );
}
