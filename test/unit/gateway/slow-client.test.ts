/** What clients that read slowly still get when a server has said all. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ClientConnection } from "../../../src/gateway/client-connection.ts";
import { GATEWAY_LIMITS } from "../../../src/gateway/target.ts";
import { answer, get } from "./gateway-bench.ts";

/** A client's socket, as the gateway has it, whose every write takes a while. */
class SlowSocket extends Duplex {
  text = "";
  override _read(): void {
    // Requests are pushed.
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    void sleep(200).then(() => {
      this.text += chunk.toString("latin1");
      done();
    });
  }
  setNoDelay(): this {
    return this;
  }
}

test("an answer whose server has hung up is not cut short for a client that takes longer than one may to hang up", async () => {
  const server = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  const target = {
    subject: { sandbox: "web", port: 3000 },
    isPaused: () => false,
    dial: async () => Promise.resolve(server),
  };
  const socket = new SlowSocket();
  const limits = { ...GATEWAY_LIMITS, lingerMs: 20 };
  new ClientConnection(
    { socket: socket as unknown as Socket, reset: () => socket.destroy() },
    {
      limits,
      find: () => target,
      admit: () => true,
      forget: () => undefined,
    },
  );
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.push(get());
  server.push(answer("first and "));
  await sleep(50);
  server.push("last");
  server.push(null);
  await closed;
  assert.match(socket.text, /first and last$/);
});
