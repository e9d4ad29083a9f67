/** Two connections that are joined: how either end of them ends the other. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { Duplex, PassThrough } from "node:stream";
import { test, type TestContext } from "node:test";
import { splice } from "../../../../src/cli/forward/splice.ts";

/** A client, and its socket on this side, as `sbx forward` has it. */
async function accept(t: TestContext): Promise<{ client: Socket; socket: Socket }> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const client = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [socket] = await accepted;
  server.close();
  for (const one of [client, socket]) one.on("error", () => undefined);
  t.after(() => {
    client.destroy();
    socket.destroy();
  });
  return { client, socket };
}

test("a server that answers and hangs up has its answer read, and a client that then goes is let go", async (t) => {
  const { client, socket } = await accept(t);
  const tunnel = new Duplex({
    read: () => undefined,
    write: () => {
      // It reads no more than the beginning, as one that finds an upload too large.
      tunnel.once("end", () => tunnel.destroy());
      tunnel.push("too large");
      tunnel.push(null);
    },
  });
  splice(socket, tunnel);
  client.write(Buffer.alloc(1024 * 1024));
  let text = "";
  for await (const chunk of client) text += String(chunk);
  assert.equal(text, "too large");
  client.destroy();
  if (!socket.closed) await once(socket, "close");
});

test("a tunnel that breaks off is a reset for the client, and a client that breaks off is one for the tunnel", async (t) => {
  const first = await accept(t);
  const broken = new PassThrough();
  splice(first.socket, broken);
  const reset = once(first.client, "error") as Promise<[NodeJS.ErrnoException]>;
  broken.destroy(new Error("gone"));
  const [error] = await reset;
  assert.equal(error.code, "ECONNRESET");
  const second = await accept(t);
  const tunnel = new PassThrough().on("error", () => undefined);
  splice(second.socket, tunnel);
  second.client.resetAndDestroy();
  await new Promise((resolve) => tunnel.once("close", resolve));
  assert.ok(tunnel.errored);
});
