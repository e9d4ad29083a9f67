/** Finds the flow that a segment belongs to. The hash has a secret in it, so that a guest cannot make long chains. */
import { randomInt } from "node:crypto";
import type { IpAddress } from "../ip-address.ts";
import type { Packet } from "../packet.ts";
import type { Connection } from "./connection.ts";
import type { Segment } from "./segment.ts";

export class FlowTable {
  readonly #seed = randomInt(2 ** 32) | 0;
  readonly #buckets = new Map<number, Connection>();
  #size = 0;
  /** Packets come in runs. */
  #last: Connection | undefined;

  get size(): number {
    return this.#size;
  }

  hash(near: IpAddress, nearPort: number, farPort: number): number {
    return this.#mix(near.word0, near.word1, near.word2, near.word3, (nearPort << 16) | farPort);
  }

  /** @param far the guest's address that the packet is from, as an object of the link's parties */
  find(packet: Packet, segment: Segment, far: IpAddress): Connection | undefined {
    if (this.#last !== undefined && matches(this.#last, packet, segment, far)) return this.#last;
    const ports = (segment.targetPort << 16) | segment.sourcePort;
    const hash = this.#mix(packet.target0, packet.target1, packet.target2, packet.target3, ports);
    for (let found = this.#buckets.get(hash); found !== undefined; found = found.nextInBucket) {
      if (!matches(found, packet, segment, far)) continue;
      this.#last = found;
      return found;
    }
    return undefined;
  }

  has(near: IpAddress, nearPort: number, farPort: number): boolean {
    let found = this.#buckets.get(this.hash(near, nearPort, farPort));
    while (found !== undefined && !(found.near === near && found.nearPort === nearPort && found.farPort === farPort)) {
      found = found.nextInBucket;
    }
    return found !== undefined;
  }

  add(connection: Connection): void {
    connection.nextInBucket = this.#buckets.get(connection.hash);
    this.#buckets.set(connection.hash, connection);
    this.#size++;
  }

  remove(connection: Connection): void {
    if (this.#last === connection) this.#last = undefined;
    const first = this.#buckets.get(connection.hash);
    const next = connection.nextInBucket;
    connection.nextInBucket = undefined;
    if (first === connection) {
      if (next === undefined) this.#buckets.delete(connection.hash);
      else this.#buckets.set(connection.hash, next);
      this.#size--;
      return;
    }
    for (let at = first; at !== undefined; at = at.nextInBucket) {
      if (at.nextInBucket !== connection) continue;
      at.nextInBucket = next;
      this.#size--;
      return;
    }
  }

  all(): Connection[] {
    const all: Connection[] = [];
    for (const first of this.#buckets.values()) {
      for (let at: Connection | undefined = first; at !== undefined; at = at.nextInBucket) all.push(at);
    }
    return all;
  }

  #mix(word0: number, word1: number, word2: number, word3: number, ports: number): number {
    let hash = Math.imul(this.#seed ^ word3, 0x9e37_79b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ ports, 0x85eb_ca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ word2, 0xc2b2_ae35);
    hash = Math.imul(hash ^ (hash >>> 16) ^ word1, 0x27d4_eb2f);
    hash = Math.imul(hash ^ (hash >>> 15) ^ word0, 0x1656_67b1);
    // Small integers are what V8's maps are fast with.
    return (hash ^ (hash >>> 16)) & 0x3fff_ffff;
  }
}

function matches(connection: Connection, packet: Packet, segment: Segment, far: IpAddress): boolean {
  return (
    connection.far === far &&
    connection.farPort === segment.sourcePort &&
    connection.nearPort === segment.targetPort &&
    packet.isTo(connection.near)
  );
}
