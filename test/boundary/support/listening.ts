/** A server of any kind at an address of the closed network, which ends with all of its connections. */
import { once } from "node:events";
import type { Server, Socket } from "node:net";

export class Listening implements AsyncDisposable {
  /** TCP connections so far. */
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      // A client that resets is no fault of the test's.
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  static async start(server: Server, address: string, port: number): Promise<Listening> {
    const listening = new Listening(server);
    server.listen(port, address);
    await once(server, "listening");
    return listening;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
