/**
 * Segments that arrived before those in front of them. The link keeps the order, so this holds something only when the
 * guest's own network stack dropped a packet, or when the guest is hostile: it is small, and what does not fit is
 * forgotten, which the guest then repeats.
 */
import type { MemoryBudget } from "../memory-budget.ts";
import { BUFFER_OVERHEAD_BYTES } from "./receive-queue.ts";
import { ahead } from "./segment.ts";

interface Piece {
  sequence: number;
  data: Buffer;
}

export interface ReassemblyLimits {
  reassemblyBytes: number;
  reassemblyPieces: number;
}

export class Reassembly {
  readonly #budget: MemoryBudget;
  readonly #limits: ReassemblyLimits;
  /** In order and without overlaps. */
  #pieces: Piece[] = [];
  #bytes = 0;

  constructor(budget: MemoryBudget, limits: ReassemblyLimits) {
    this.#budget = budget;
    this.#limits = limits;
  }

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  /** Keeps a copy of what is not here already: of two versions of a byte, the first one counts. */
  insert(sequence: number, bytes: Buffer, begin: number, end: number): void {
    let at = 0;
    while (begin < end) {
      const piece = this.#pieces[at];
      if (piece === undefined) {
        this.#put(at, sequence, bytes, begin, end);
        return;
      }
      const gap = ahead(piece.sequence, sequence);
      if (gap > 0) {
        const length = Math.min(gap, end - begin);
        if (!this.#put(at, sequence, bytes, begin, begin + length)) return;
        at++;
        begin += length;
        sequence = (sequence + length) | 0;
      }
      // What the piece has.
      const covered = Math.max(0, Math.min(end - begin, ahead(piece.sequence, sequence) + piece.data.length));
      begin += covered;
      sequence = (sequence + covered) | 0;
      at++;
    }
  }

  /** The bytes that begin at `sequence`, if they are here; older ones are forgotten. They cost nothing from now on. */
  take(sequence: number): Buffer | undefined {
    for (;;) {
      const [piece] = this.#pieces;
      if (piece === undefined) return undefined;
      const old = ahead(sequence, piece.sequence);
      if (old < 0) return undefined;
      this.#pieces.shift();
      this.#give(piece);
      if (old < piece.data.length) return piece.data.subarray(old);
    }
  }

  clear(): void {
    for (const piece of this.#pieces) this.#give(piece);
    this.#pieces = [];
  }

  #put(at: number, sequence: number, bytes: Buffer, begin: number, end: number): boolean {
    const length = end - begin;
    if (this.#pieces.length >= this.#limits.reassemblyPieces) return false;
    if (this.#bytes + length > this.#limits.reassemblyBytes) return false;
    if (!this.#budget.take(length + BUFFER_OVERHEAD_BYTES, this.#budget.limitBytes / 2)) return false;
    this.#bytes += length;
    const data = Buffer.allocUnsafeSlow(length);
    bytes.copy(data, 0, begin, end);
    this.#pieces.splice(at, 0, { sequence, data });
    return true;
  }

  #give(piece: Piece): void {
    this.#bytes -= piece.data.length;
    this.#budget.give(piece.data.length + BUFFER_OVERHEAD_BYTES);
  }
}
