/**
 * The body of a gRPC call: messages, each after one byte of flags and four of length. The end of one is not held back
 * for the next, since both ends may be waiting for each other. The framing is only believed in that: it comes from a
 * guest or an upstream that may lie, and what is looked for is found across it.
 */
import type { BodyWork } from "./body-streams.ts";

const PREFIX_BYTES = 5;
/** Of the flags. */
const COMPRESSED = 1;

export interface ReleasingWork extends BodyWork {
  /** Passes on what can be of what is held. */
  release(): Buffer[];
}

export class EnvelopedWork implements BodyWork {
  readonly #work: ReleasingWork;
  readonly #refusesCompressed: boolean;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixBytes = 0;
  #messageBytes = 0;

  /** @param refusesCompressed fails at a message that cannot be searched */
  constructor(work: ReleasingWork, refusesCompressed: boolean) {
    this.#work = work;
    this.#refusesCompressed = refusesCompressed;
  }

  get heldBytes(): number {
    return this.#work.heldBytes;
  }

  push(chunk: Buffer): Buffer[] {
    const out: Buffer[] = [];
    let from = 0;
    for (let at = 0; at < chunk.length;) {
      at = this.#prefixBytes < PREFIX_BYTES ? this.#readPrefix(chunk, at) : this.#readMessage(chunk, at);
      if (this.#prefixBytes < PREFIX_BYTES || this.#messageBytes > 0) continue;
      this.#prefixBytes = 0;
      out.push(...this.#work.push(chunk.subarray(from, at)), ...this.#work.release());
      from = at;
    }
    if (from < chunk.length) out.push(...this.#work.push(chunk.subarray(from)));
    return out;
  }

  end(): Buffer[] {
    return this.#work.end();
  }

  #readPrefix(chunk: Buffer, from: number): number {
    const end = Math.min(chunk.length, from + PREFIX_BYTES - this.#prefixBytes);
    chunk.copy(this.#prefix, this.#prefixBytes, from, end);
    this.#prefixBytes += end - from;
    if (this.#prefixBytes === PREFIX_BYTES) {
      if (this.#refusesCompressed && ((this.#prefix[0] ?? 0) & COMPRESSED) !== 0) {
        throw new Error("a compressed gRPC message cannot be searched for secrets");
      }
      this.#messageBytes = this.#prefix.readUInt32BE(1);
    }
    return end;
  }

  #readMessage(chunk: Buffer, from: number): number {
    const end = Math.min(chunk.length, from + this.#messageBytes);
    this.#messageBytes -= end - from;
    return end;
  }
}
