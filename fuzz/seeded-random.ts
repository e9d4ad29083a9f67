/** Random choices that a seed repeats, and the mutations that the fuzzers share. Nothing here is for secrets. */

export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e37_79b9) >>> 0;
  }

  /** A 32-bit number (a xorshift over a Weyl sequence). */
  next(): number {
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** From 0 to `limit - 1`. */
  below(limit: number): number {
    return this.next() % limit;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError("nothing to pick from");
    return items[this.below(items.length)] as T;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at++) bytes[at] = this.next();
    return bytes;
  }

  /** Flips, inserts, removes, repeats or cuts, a few times. */
  mutate(input: Buffer): Buffer {
    let bytes = Buffer.from(input);
    for (let times = 1 + this.below(4); times > 0 && bytes.length > 0; times--) {
      const at = this.below(bytes.length);
      const end = Math.min(bytes.length, at + 1 + this.below(16));
      switch (this.below(5)) {
        case 0:
          bytes[at] = (bytes[at] ?? 0) ^ (1 << this.below(8));
          break;
        case 1:
          bytes = Buffer.concat([bytes.subarray(0, at), this.bytes(1 + this.below(8)), bytes.subarray(at)]);
          break;
        case 2:
          bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
          break;
        case 3:
          bytes = Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
          break;
        default:
          bytes = bytes.subarray(0, at);
      }
    }
    return bytes;
  }

  /** The same bytes in pieces. */
  cut(bytes: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    let rest = bytes;
    while (rest.length > 0) {
      const length = Math.min(rest.length, this.chance(30) ? 1 + this.below(16) : 1 + this.below(4096));
      pieces.push(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
    return pieces;
  }
}
