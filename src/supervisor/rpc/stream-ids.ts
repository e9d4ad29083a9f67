/**
 * Ids of the streams that go to clients. A client process of the published SDK keeps one map for all its connections,
 * so ids must differ between connections, sandboxes and hosts: each connection counts from a random base.
 */
import { randomBytes } from "node:crypto";

/** Random bits of a base. Ids have 48 bits in binary frames; the rest is room to count. */
const BASE_BITS = 47;

export class StreamIds {
  #next = randomBytes(6).readUIntLE(0, 6) % 2 ** BASE_BITS;

  next(): number {
    return this.#next++;
  }
}
