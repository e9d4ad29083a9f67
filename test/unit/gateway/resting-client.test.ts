/** Connections with nothing under way, where there are several servers to choose from. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Socket } from "node:net";
import { ClientConnection } from "../../../src/gateway/client-connection.ts";
import { GATEWAY_LIMITS } from "../../../src/gateway/target.ts";
import { answer, get } from "./gateway-bench.ts";

class ClientSocket extends Duplex {
  override _read(): void {
    // Requests are pushed.
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.emit("answer", chunk.toString("latin1"));
    done();
  }
  setNoDelay(): this {
    return this;
  }
}

test("the next head has its time as the first one has, however steadily a client drips", async () => {
  const server = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  const resting = Promise.withResolvers<void>();
  const target = {
    subject: { sandbox: "web", port: 3000 },
    isPaused: () => false,
    dial: async () => Promise.resolve(server),
    seatOf: () => ({ rest: () => resting.resolve(), goOn: () => true }),
  };
  const socket = new ClientSocket();
  const host = { find: () => target, admit: () => true, forget: () => undefined };
  new ClientConnection(
    { socket: socket as unknown as Socket, reset: () => socket.destroy() },
    { ...host, limits: { ...GATEWAY_LIMITS, headMs: 300 } },
  );
  socket.push(get());
  server.push(answer("first"));
  await once(socket, "answer");
  await resting.promise;
  // It is a request as long as nobody ends it.
  for (const byte of `GET / HTTP/1.1\r\nX: ${"x".repeat(3000)}`) {
    if (socket.destroyed) break;
    socket.push(byte);
    await sleep(10);
  }
  assert.equal(socket.destroyed, true);
});

test("what a server says unasked ends the connection, and is never the answer of another server", async () => {
  const servers = [0, 1].map(() => new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() }));
  const resting = Promise.withResolvers<void>();
  let dialled = 0;
  const target = {
    subject: { sandbox: "web", port: 3000 },
    isPaused: () => false,
    dial: async () => Promise.resolve(servers[dialled++] ?? assert.fail()),
    seatOf: () => ({ rest: () => resting.resolve(), goOn: () => false }),
  };
  const socket = new ClientSocket();
  new ClientConnection(
    { socket: socket as unknown as Socket, reset: () => socket.destroy() },
    { find: () => target, admit: () => true, forget: () => undefined, limits: GATEWAY_LIMITS },
  );
  socket.push(get());
  servers[0]?.push(answer("first"));
  await once(socket, "answer");
  await resting.promise;
  const ended = once(socket, "finish");
  servers[0]?.push(answer("forged"));
  await ended;
  socket.push(get());
  await sleep(10);
  assert.equal(dialled, 1);
  socket.destroy();
});
