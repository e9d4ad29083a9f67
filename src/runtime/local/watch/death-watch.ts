/**
 * A supervisor that was killed cannot say so. Each command ends such sandboxes in the records when it starts
 * (reconcile.ts); one that waits and watches does so again and again.
 */
import type { DiskState } from "../disks/disk-context.ts";
import { reconcile } from "../reconcile.ts";

/** Between two looks, `ms`. */
export const LOOK_MS = 2_000;

export class DeathWatch {
  readonly #state: DiskState;
  #lookedAt = performance.now();

  constructor(state: DiskState) {
    this.#state = state;
  }

  /** Looks, unless that was done a moment ago. */
  async look(): Promise<void> {
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = now;
    const ended = reconcile(this.#state.store, Date.now());
    if (ended.length === 0 || this.#state.disks.isEmpty()) return;
    const { settleDisks } = await import("../disks/settle.ts");
    await settleDisks(this.#state, Date.now());
  }
}
