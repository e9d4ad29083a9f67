/**
 * The body of a gRPC call: messages, each after one byte of flags and four of length. Nothing that is looked for spans messages, so
 * the end of one is never held back for the next: both ends may be waiting for each other. Input is hostile.
 */
import type { BodyWork } from "./body-streams.ts";

const PREFIX_BYTES = 5;
/** Of the flags. */
const COMPRESSED = 1;

export class EnvelopedWork implements BodyWork {
  readonly #work: BodyWork;
  readonly #refusesCompressed: boolean;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixBytes = 0;
  #messageBytes = 0;

  /** @param refusesCompressed fails at a message that cannot be searched */
  constructor(work: BodyWork, refusesCompressed: boolean) {
    this.#work = work;
    this.#refusesCompressed = refusesCompressed;
  }

  get heldBytes(): number {
    return this.#work.heldBytes;
  }

  push(chunk: Buffer): Buffer[] {
    const out: Buffer[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#prefixBytes < PREFIX_BYTES) {
        at = this.#readPrefix(chunk, at, out);
      } else {
        const end = Math.min(chunk.length, at + this.#messageBytes);
        out.push(...this.#work.push(chunk.subarray(at, end)));
        this.#messageBytes -= end - at;
        at = end;
      }
      if (this.#prefixBytes === PREFIX_BYTES && this.#messageBytes === 0) {
        out.push(...this.#work.end());
        this.#prefixBytes = 0;
      }
    }
    return out;
  }

  end(): Buffer[] {
    const incomplete =
      this.#prefixBytes < PREFIX_BYTES ? [Buffer.from(this.#prefix.subarray(0, this.#prefixBytes))] : [];
    this.#prefixBytes = 0;
    return [...this.#work.end(), ...incomplete];
  }

  #readPrefix(chunk: Buffer, from: number, out: Buffer[]): number {
    const end = Math.min(chunk.length, from + PREFIX_BYTES - this.#prefixBytes);
    chunk.copy(this.#prefix, this.#prefixBytes, from, end);
    this.#prefixBytes += end - from;
    if (this.#prefixBytes === PREFIX_BYTES) {
      if (this.#refusesCompressed && ((this.#prefix[0] ?? 0) & COMPRESSED) !== 0) {
        throw new Error("a compressed gRPC message cannot be searched for secrets");
      }
      this.#messageBytes = this.#prefix.readUInt32BE(1);
      out.push(Buffer.from(this.#prefix));
    }
    return end;
  }
}
