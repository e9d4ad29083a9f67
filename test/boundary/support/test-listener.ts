/** A server of any protocol at an address of the closed network, with all its connections. */
import { once } from "node:events";
import type { Server, Socket } from "node:net";

export class TestListener implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined); // the other end may reset it
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  static async start(server: Server, address: string, port: number): Promise<TestListener> {
    const listener = new TestListener(server);
    server.listen(port, address);
    await once(server, "listening");
    return listener;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
