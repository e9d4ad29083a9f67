/**
 * The connections of the HTTP server and what is under way on them. node:http forgets those that were upgraded, answers
 * out of turn what comes behind a request that it has not answered yet, and has no end to wait for when it is closed.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

export class Connections {
  readonly #open = new Map<Socket, Map<ServerResponse, IncomingMessage>>();

  add(socket: Socket): void {
    this.#open.set(socket, new Map());
    socket.once("close", () => this.#open.delete(socket));
  }

  begin(request: IncomingMessage, response: ServerResponse): void {
    const underWay = this.#open.get(request.socket);
    if (underWay === undefined) return;
    underWay.set(response, request);
    response.once("close", () => underWay.delete(response));
  }

  /** When all that has come on this connection, and is whole, is answered, or it is closed. */
  async answered(socket: Socket): Promise<void> {
    const underWay = [...(this.#open.get(socket) ?? [])];
    const responses = underWay.filter(([, { complete }]) => complete).map(([response]) => response);
    await Promise.all(
      responses.map(async (response) => new Promise<void>((resolve) => void response.once("close", resolve))),
    );
  }

  /** Those that wait for the rest of a request. */
  destroyUnfinished(): void {
    for (const [socket, underWay] of this.#open) {
      if ([...underWay.values()].some((request) => !request.complete)) socket.destroy();
    }
  }

  destroyAll(): void {
    for (const socket of [...this.#open.keys()]) socket.destroy();
  }
}
