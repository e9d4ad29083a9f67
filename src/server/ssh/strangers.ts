/**
 * Connections whose clients have not said yet who they are. Their number is bounded, and who opens many of them shuts
 * nobody out: room is made by those of the address that has the most, the oldest first.
 */
import { MAX_STRANGERS } from "./limits.ts";

export interface Stranger {
  readonly address: string;
  /** Hangs up on it. */
  drop(why: string): void;
}

export class Strangers {
  /** In the order in which they came. */
  readonly #waiting = new Set<Stranger>();
  readonly #counts = new Map<string, number>();

  get size(): number {
    return this.#waiting.size;
  }

  add(stranger: Stranger): void {
    if (this.#waiting.size >= MAX_STRANGERS) this.makeRoom();
    this.#waiting.add(stranger);
    this.#counts.set(stranger.address, this.#countOf(stranger.address) + 1);
  }

  /** It is known by now, or gone. */
  remove(stranger: Stranger): void {
    if (!this.#waiting.delete(stranger)) return;
    const left = this.#countOf(stranger.address) - 1;
    if (left > 0) this.#counts.set(stranger.address, left);
    else this.#counts.delete(stranger.address);
  }

  /** Drops one; false if there is none. */
  makeRoom(): boolean {
    const most = Math.max(...this.#counts.values());
    for (const stranger of this.#waiting) {
      if (this.#countOf(stranger.address) < most) continue;
      this.#drop(stranger, "others wanted in");
      return true;
    }
    return false;
  }

  dropAll(why: string): void {
    for (const stranger of [...this.#waiting]) this.#drop(stranger, why);
  }

  #drop(stranger: Stranger, why: string): void {
    this.remove(stranger);
    stranger.drop(why);
  }

  #countOf(address: string): number {
    return this.#counts.get(address) ?? 0;
  }
}
