/** The connections that were made and are open, so that a policy that changes can end them. */
import type { Socket } from "node:net";
import type { ConnectionTarget, Decision } from "../../policy/spec.ts";

export interface OpenConnection {
  target: ConnectionTarget;
  /** What the policy was asked about; `null` where the user chose what is dialled. */
  address: string | null;
}

export class OpenConnections {
  readonly #all = new Map<Socket, OpenConnection>();

  add(socket: Socket, connection: OpenConnection): void {
    if (socket.closed) return;
    this.#all.set(socket, connection);
    socket.once("close", () => this.#all.delete(socket));
  }

  /** Ends those that are denied. */
  reconsider(decide: (connection: OpenConnection) => Decision): void {
    for (const [socket, connection] of this.#all) if (decide(connection).verdict === "deny") socket.destroy();
  }
}
