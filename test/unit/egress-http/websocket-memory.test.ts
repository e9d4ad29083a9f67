/** What WebSockets may make the host hold, counted in bytes. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { WebSocket } from "ws";
import { HeldBytes } from "../../../src/egress/http/held-bytes.ts";
import { type Joined, relayMessages } from "../../../src/egress/http/websocket-messages.ts";
import { readUntil } from "./clients.ts";
import { HOST, startHarness } from "./harness.ts";
import { rawServer } from "./servers.ts";

const MIB = 1024 * 1024;

/** As much of `ws` as the relay uses: it takes what it is told to send, and says so when the test likes. */
class FakeWebSocket extends EventEmitter {
  readonly OPEN = 1;
  readonly CLOSING = 2;
  readonly CLOSED = 3;
  readyState = 1;
  isPaused = false;
  readonly unsent: (() => void)[] = [];
  readonly closes: (number | undefined)[] = [];
  readonly _socket = new PassThrough();
  readonly _receiver = { _bufferedBytes: 0, _messageLength: 0, _buffers: [], _fragments: [] };

  send(_data: Buffer, _options: unknown, done: () => void): void {
    this.unsent.push(done);
  }
  ping(_data: Buffer, _mask: unknown, done: () => void): void {
    this.unsent.push(done);
  }
  pong(_data: Buffer, _mask: unknown, done: () => void): void {
    this.unsent.push(done);
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  close(code?: number): void {
    this.closes.push(code);
  }
  terminate(): void {
    if (this.readyState === this.CLOSED) return;
    this.readyState = this.CLOSED;
    this.emit("close", 1006, Buffer.alloc(0));
  }
}

function join(held: HeldBytes): { guest: FakeWebSocket; upstream: FakeWebSocket } {
  const guest = new FakeWebSocket();
  const upstream = new FakeWebSocket();
  const record = { sent: { bytes: 0 }, received: { bytes: 0 }, failed() {}, refused() {}, write() {}, writeLeaks() {} };
  const same = { message: (data: Buffer) => data };
  relayMessages({ guest, upstream, outgoing: same, incoming: same, record, held } as unknown as Joined);
  return { guest, upstream };
}

test("a message counts until the receiver's side has written it, and its sender is not read from meanwhile", () => {
  const held = new HeldBytes(64 * MIB);
  const { guest, upstream } = join(held);
  guest.emit("message", Buffer.alloc(MIB), true);
  assert.ok(held.bytes >= MIB && held.bytes < 1.1 * MIB, `${held.bytes} bytes`);
  assert.equal(guest.isPaused, true);
  assert.equal(upstream.isPaused, false);
  upstream.unsent.pop()?.();
  assert.equal(held.bytes, 0);
  assert.equal(guest.isPaused, false);
});

test("small messages and pings that nobody takes count with what each of them costs", () => {
  for (const kind of ["message", "ping", "pong"]) {
    const held = new HeldBytes(64 * MIB);
    const { guest, upstream } = join(held);
    while (!guest.isPaused) guest.emit(kind, Buffer.alloc(0), true);
    assert.ok(upstream.unsent.length <= 1024, `${upstream.unsent.length} frames wait`);
    for (const done of upstream.unsent) done();
    assert.deepEqual([held.bytes, guest.isPaused], [0, false]);
  }
});

test("all WebSockets together hold no more than the limit: the one that wants more ends, and the others stay", () => {
  const held = new HeldBytes(4 * MIB);
  const pairs = Array.from({ length: 8 }, () => join(held));
  for (const { guest } of pairs) guest.emit("message", Buffer.alloc(MIB), true);
  assert.ok(held.bytes <= 4 * MIB, `${held.bytes} bytes`);
  const open = pairs.filter(({ guest, upstream }) => guest.readyState === 1 && upstream.readyState === 1);
  assert.equal(open.length, 3);
  assert.deepEqual(pairs.at(-1)?.guest.closes, [1013]);
  assert.equal(pairs.at(-1)?.upstream.readyState, 3);
});

test("what a closed WebSocket held is given back, once", () => {
  const held = new HeldBytes(64 * MIB);
  const { guest, upstream } = join(held);
  guest.emit("message", Buffer.alloc(MIB), true);
  guest._receiver._messageLength = 1000;
  guest._socket.emit("data", Buffer.alloc(1000));
  upstream.terminate();
  assert.equal(guest.isPaused, false);
  guest.terminate();
  assert.equal(held.bytes, 0);
  for (const done of upstream.unsent) done();
  assert.equal(held.bytes, 0);
});

/** Says 101 and reads nothing more. */
function deafServer(): ReturnType<typeof rawServer> {
  return rawServer(true, (socket) => {
    let head = "";
    socket.on("data", (chunk: Buffer) => {
      head += chunk.toString("latin1");
      const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1] ?? "";
      if (!head.includes("\r\n\r\n")) return;
      socket.pause();
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n" +
          `sec-websocket-accept: ${accept}\r\n\r\n`,
      );
    });
  });
}

test("complete messages for upstreams that do not read are bounded in all WebSockets together", async () => {
  const size = 15 * MIB;
  await using upstream = await deafServer();
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { webSocketBytes: 32 * MIB } });
  const frame = Buffer.alloc(14 + size);
  frame.writeUInt16BE(0x82ff, 0);
  frame.writeBigUInt64BE(BigInt(size), 2);
  let open = 0;
  for (let index = 0; index < 5; index++) {
    const socket = await harness.connect(["http/1.1"]);
    socket.on("error", () => undefined).once("close", () => open--);
    open++;
    socket.write(
      `GET / HTTP/1.1\r\nhost: ${HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
        "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    await readUntil(socket, "\r\n\r\n");
    await Promise.race([new Promise((resolve) => socket.write(frame, resolve)), once(socket, "close")]);
    socket.resume();
  }
  while (open > 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(open, 2);
});

test("a message in very many pieces costs more than its bytes, and counts so", async () => {
  await using upstream = await deafServer();
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { webSocketBytes: MIB } });
  const client = new WebSocket(`wss://127.0.0.1:${harness.clientPort}/`, {
    ...{ ca: harness.ca, servername: HOST, headers: { host: HOST } },
  });
  await once(client, "open");
  for (let index = 0; index < 8192; index++) client.send("x", { fin: false });
  const [code] = (await once(client, "close")) as [number];
  assert.ok(code === 1013 || code === 1006, `closed with ${code}`);
});
