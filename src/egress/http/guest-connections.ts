/** The guest's connections that are intercepted: how long each has been without a request, and an end to all of them. */
import type { Duplex } from "node:stream";
import type { Authority } from "./authority.ts";
import type { Carrier, FlowFacts } from "./exchange.ts";

export class GuestConnection implements Carrier {
  readonly facts: FlowFacts;
  readonly authority: Authority;
  /** What the guest's flow is; its TLS lies above. Destroying it ends everything on it. */
  readonly stream: Duplex;
  #busy = 0;
  #idleSinceMs = Date.now();

  constructor(stream: Duplex, facts: FlowFacts, scheme: "http" | "https") {
    this.stream = stream;
    this.facts = facts;
    this.authority = { scheme, host: facts.host, port: facts.port };
  }

  /** A request is under way. @returns to be called once, when it is over */
  begin(): () => void {
    this.#busy++;
    return () => {
      this.#busy--;
      this.#idleSinceMs = Date.now();
    };
  }

  get busy(): boolean {
    return this.#busy > 0;
  }

  idleMs(nowMs: number): number {
    return this.#busy > 0 ? 0 : nowMs - this.#idleSinceMs;
  }

  destroy(): void {
    this.stream.destroy();
  }
}

export class GuestConnections {
  readonly #all = new Set<GuestConnection>();
  readonly #maxIdleMs: number;

  constructor(maxIdleMs: number) {
    this.#maxIdleMs = maxIdleMs;
  }

  add(connection: GuestConnection): void {
    this.#all.add(connection);
    connection.stream.once("close", () => {
      this.#all.delete(connection);
    });
  }

  /** Ends those that have been without a request for too long: idle ones, and ones that send a header byte by byte. */
  sweep(nowMs: number): void {
    for (const connection of this.#all) if (connection.idleMs(nowMs) > this.#maxIdleMs) connection.destroy();
  }

  destroyAll(): void {
    for (const connection of this.#all) connection.destroy();
  }
}
