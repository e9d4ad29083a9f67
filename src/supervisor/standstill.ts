/**
 * Why the guest stands still. There may be several reasons at a time (its user paused it, the host's disk is full, it is
 * being copied), and it goes on when none is left.
 */
import type { Qmp } from "../vm/qmp.ts";

export type StandstillReason = "user" | "disk" | "copy";

export class Standstill {
  readonly #qmp: Pick<Qmp, "execute">;
  readonly #reasons = new Set<StandstillReason>();

  constructor(qmp: Pick<Qmp, "execute">) {
    this.#qmp = qmp;
  }

  has(reason: StandstillReason): boolean {
    return this.#reasons.has(reason);
  }

  get any(): boolean {
    return this.#reasons.size > 0;
  }

  /** QEMU has stopped the guest by itself. */
  note(reason: StandstillReason): void {
    this.#reasons.add(reason);
  }

  /** Stops the guest; it stands still when this settles. */
  async hold(reason: StandstillReason): Promise<void> {
    this.#reasons.add(reason);
    try {
      // Also where it stands still for another reason, which may be about to end.
      await this.#qmp.execute("stop");
    } catch (error) {
      this.#reasons.delete(reason);
      throw error;
    }
  }

  /** Takes one reason back. Returns whether the guest goes on. */
  async release(reason: StandstillReason): Promise<boolean> {
    // Before `cont`: what stops the guest next may come before its answer.
    if (!this.#reasons.delete(reason) || this.any) return false;
    await this.#qmp.execute("cont");
    return true;
  }
}
