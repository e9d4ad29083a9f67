/** A port of the guest's loopback, whichever family its server listens on. */
import type { Duplex } from "node:stream";
import { dialGuest, type DialOptions } from "./guest-socket.ts";
import { AgentError, type AgentLink } from "./link.ts";

export const GUEST_LOOPBACKS = ["127.0.0.1", "::1"] as const;

/** Dials ports of one guest; knows for each which family answered last, and begins with that one. */
export class LoopbackDialer {
  readonly #link: AgentLink;
  readonly #ipv6Ports = new Set<number>();

  constructor(link: AgentLink) {
    this.#link = link;
  }

  /** @throws AgentError, ECONNREFUSED where neither family has a server */
  async dial(port: number, options: DialOptions = {}): Promise<Duplex> {
    const [ipv4, ipv6] = GUEST_LOOPBACKS;
    const [first, second] = this.#ipv6Ports.has(port) ? [ipv6, ipv4] : [ipv4, ipv6];
    try {
      return await dialGuest(this.#link, { host: first, port }, options);
    } catch (error) {
      if (!(error instanceof AgentError) || error.code !== "ECONNREFUSED") throw error;
      const socket = await dialGuest(this.#link, { host: second, port }, options);
      if (second === ipv6) this.#ipv6Ports.add(port);
      else this.#ipv6Ports.delete(port);
      return socket;
    }
  }
}
