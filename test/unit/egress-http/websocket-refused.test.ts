/** A WebSocket's handshake that the upstream answers otherwise than it should, or with more than it should. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { connect as connectTcp, type Socket } from "node:net";
import { Readable } from "node:stream";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { HookError } from "../../../src/egress/hooks/hooks.ts";
import { exchangeRaw, readAll, readUntil } from "./clients.ts";
import { fakeHooks } from "./fake-hooks.ts";
import { PLACEHOLDER, VALUE } from "./fake-secrets.ts";
import { type Harness, HOST, startHarness } from "./harness.ts";
import { rawServer, type TestServer } from "./servers.ts";

/** Answers each handshake with these bytes; `ACCEPT` in them becomes what a 101 needs. */
function answering(text: string, then: (socket: Socket) => void = () => undefined): Promise<TestServer> {
  return rawServer(true, (socket) => {
    let head = "";
    socket.on("data", (chunk: Buffer) => {
      head += chunk.toString("latin1");
      if (!head.endsWith("\r\n\r\n")) return;
      const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1] ?? "";
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      socket.write(text.replace("ACCEPT", accept), "latin1");
      then(socket);
    });
  });
}

async function handshake(harness: Harness, more = ""): Promise<string> {
  return exchangeRaw(await harness.connect(["http/1.1"]), handshakeText(more));
}

function handshakeText(more = ""): string {
  return (
    `GET /ws HTTP/1.1\r\nhost: ${HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
    `sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`
  );
}

test("a hook sees the answer to a handshake that became no WebSocket, and its word is what arrives", async () => {
  await using upstream = await answering("HTTP/1.1 403 Forbidden\r\ncontent-length: 8\r\nx-a: 1\r\n\r\nprivate!");
  const seen: string[] = [];
  const hooks = fakeHooks({
    async onResponse(request, head, body) {
      seen.push(`${request.target} ${head.status} ${body === null ? "" : (await readAll(body)).toString()}`);
      const fields: [string, string][] = [["content-length", "6"]];
      return { head: { status: 404, fields }, body: Readable.from([Buffer.from("hidden")]), bodyReplaced: true };
    },
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, hooks });
  const answer = await handshake(harness);
  assert.match(answer, /^HTTP\/1\.1 404 Not Found\r\n/);
  assert.ok(answer.endsWith("\r\n\r\nhidden"), answer);
  assert.doesNotMatch(answer, /private|x-a/);
  assert.deepEqual(seen, ["/ws 403 private!"]);
  const [event] = await harness.settled("request", 1);
  assert.equal(event?.status, 404);
});

test("a hook that fails lets nothing of such an answer through", async () => {
  await using upstream = await answering("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nprivate!");
  const hooks = fakeHooks({
    async onResponse() {
      throw new HookError("onResponse threw: no");
    },
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, hooks });
  const answer = await handshake(harness);
  assert.match(answer, /^HTTP\/1\.1 502 /);
  assert.match(answer, /"error":"hook_failed"/);
  assert.doesNotMatch(answer, /private/);
});

const UNREADABLE: [what: string, answer: string][] = [
  ["a transfer coding that is not chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
  ["two lengths", "HTTP/1.1 401 No\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na"],
  ["a status that is none", "HTTP/1.1 999 No\r\ncontent-length: 0\r\n\r\n"],
  ["too many fields", `HTTP/1.1 401 No\r\n${"x: 1\r\n".repeat(501)}content-length: 0\r\n\r\n`],
  ["no end of interim responses", "HTTP/1.1 103 Hints\r\n\r\n".repeat(100)],
  ["a 101 of too many fields", accepted("x: 1\r\n".repeat(501))],
  ["a 101 with a bare CR in a field", accepted("x: a\rb\r\n")],
];

for (const [what, text] of UNREADABLE) {
  test(`an answer to a handshake is read as any response is: ${what}`, async () => {
    await using upstream = await answering(text);
    await using harness = await startHarness({ upstreamPort: upstream.port });
    const answer = await handshake(harness);
    assert.match(answer, /^HTTP\/1\.1 502 /);
    assert.match(answer, /"error":"upstream_failed"/);
  });
}

test("an answer to a handshake that breaks off does not look complete", async () => {
  for (const framing of ["content-length: 100\r\n", "transfer-encoding: chunked\r\n"]) {
    const text = `HTTP/1.1 401 No\r\n${framing}\r\n${framing.startsWith("c") ? "part" : "4\r\npart\r\n"}`;
    await using upstream = await answering(text, (socket) => setTimeout(() => socket.destroy(), 20));
    await using harness = await startHarness({ upstreamPort: upstream.port });
    const answer = await handshake(harness);
    assert.doesNotMatch(answer, /\r\n0\r\n\r\n$/);
    assert.match(answer, /^HTTP\/1\.1 401 [^]*(?:content-length: 100|transfer-encoding: chunked)/i);
    const [event] = await harness.settled("request", 1);
    assert.notEqual(event?.error, undefined);
  }
});

test("a long answer to a handshake arrives whole, at the pace of whoever reads it", async () => {
  const size = 4 * 1024 * 1024;
  await using upstream = await answering(`HTTP/1.1 401 No\r\ncontent-length: ${size}\r\n\r\n${"x".repeat(size)}`);
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const answer = await handshake(harness);
  assert.equal(answer.length - answer.indexOf("\r\n\r\n") - 4, size);
});

test("a guest that does not close after such an answer does not keep its place", async () => {
  await using upstream = await answering("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n");
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { lingerMs: 50, webSockets: 1 } });
  const socket = connectTls({
    socket: connectTcp({ host: "127.0.0.1", port: harness.clientPort, allowHalfOpen: true }),
    servername: HOST,
    ca: harness.ca,
  });
  socket.write(handshakeText());
  await readUntil(socket, "\r\n\r\n");
  let answer: string;
  do answer = await handshake(harness);
  while (answer.startsWith("HTTP/1.1 503 "));
  assert.match(answer, /^HTTP\/1\.1 401 /);
  socket.destroy();
});

test("what a 101 says holds the placeholder again, the chosen subprotocol included", async () => {
  await using upstream = await answering(accepted(`x-echo: ${VALUE}\r\nsec-websocket-protocol: token.${VALUE}\r\n`));
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const socket = await harness.connect(["http/1.1"]);
  socket.write(handshakeText(`sec-websocket-protocol: one, token.${PLACEHOLDER}\r\n`));
  const answer = await readUntil(socket, "\r\n\r\n");
  socket.destroy();
  assert.match(answer, /^HTTP\/1\.1 101 /);
  assert.match(answer, new RegExp(`sec-websocket-protocol: token\\.${PLACEHOLDER}\\r\\n`, "i"));
  assert.match(answer, new RegExp(`x-echo: ${PLACEHOLDER}\\r\\n`));
  assert.ok(!answer.includes(VALUE));
});

function accepted(more: string): string {
  return (
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n" +
    `sec-websocket-accept: ACCEPT\r\n${more}\r\n`
  );
}
