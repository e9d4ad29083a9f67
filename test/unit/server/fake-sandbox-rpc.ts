/** The other end of `openRpc`: sockets that a test plays the supervisor on. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import type { RpcHandshake } from "../../../src/runtime/rpc-door.ts";

const UPGRADED = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nx-deno-sandbox-id: ";

export interface FakeSandboxRpc {
  /** For `FakeRuntime.rpc`. */
  open: (id: string, handshake: RpcHandshake) => Promise<Duplex>;
  /** The supervisor's end of the next connection. */
  accept: () => Promise<{ socket: Socket; id: string; handshake: RpcHandshake }>;
}

/** @param answer what a supervisor says first; an upgrade if absent */
export async function openSandboxRpc(t: TestContext, answer?: string): Promise<FakeSandboxRpc> {
  const waiting: ((socket: Socket) => void)[] = [];
  const arrived: { socket: Socket; id: string; handshake: RpcHandshake }[] = [];
  const wanted: ((value: (typeof arrived)[number]) => void)[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    waiting.shift()?.(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const { socket } of arrived) socket.destroy();
  });
  return {
    async open(id, handshake) {
      const accepted = new Promise<Socket>((resolve) => waiting.push(resolve));
      const client = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
      const socket = await accepted;
      socket.write(answer ?? `${UPGRADED}${id}\r\n\r\n`);
      const value = { socket, id, handshake };
      const next = wanted.shift();
      if (next === undefined) arrived.push(value);
      else next(value);
      return client;
    },
    accept: async () => {
      const value = arrived.shift();
      return value ?? new Promise((resolve) => wanted.push(resolve));
    },
  };
}
