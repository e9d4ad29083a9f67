/**
 * Reports names that were refused, without letting a guest that looks up names in a loop fill the disk: a name is
 * reported once in a while, and all names together at a bounded rate. What was left out is counted in the next report.
 */
import type { Decision } from "../../policy/spec.ts";
import type { AuditSink } from "../audit-event.ts";

/** A name that was reported is not reported again for so long, `ms`. */
const REPEAT_MS = 60_000;
/** Names that are remembered for that. */
const MAX_NAMES = 1024;
/** Reports in one go, and one more each so many `ms`. */
const BURST = 50;
const REFILL_MS = 1000;

export class DenialLog {
  readonly #audit: AuditSink;
  readonly #now: () => number;
  /** When each was reported, the first one first. */
  readonly #reported = new Map<string, number>();
  #credit = BURST;
  #refilledAt: number;
  #leftOut = 0;

  /** @param now monotonic, `ms` */
  constructor(audit: AuditSink, now: () => number = () => performance.now()) {
    this.#audit = audit;
    this.#now = now;
    this.#refilledAt = now();
  }

  report(host: string, { rule, reason, fix }: Pick<Decision, "rule" | "reason" | "fix">): void {
    const now = this.#now();
    const last = this.#reported.get(host);
    if (last !== undefined && now - last < REPEAT_MS) return;
    if (!this.#takeCredit(now)) {
      this.#leftOut++;
      return;
    }
    this.#remember(host, now);
    this.flush();
    this.#audit({ time: Date.now(), kind: "dns", verdict: "deny", via: "resolver", host, rule, reason, fix });
  }

  /** Reports how many were left out, if any. */
  flush(): void {
    if (this.#leftOut === 0) return;
    const reason = `${this.#leftOut} more lookups were refused`;
    this.#leftOut = 0;
    this.#audit({ time: Date.now(), kind: "dns", verdict: "deny", via: "resolver", reason });
  }

  #takeCredit(now: number): boolean {
    const refill = Math.floor((now - this.#refilledAt) / REFILL_MS);
    this.#credit = Math.min(BURST, this.#credit + refill);
    this.#refilledAt += refill * REFILL_MS;
    if (this.#credit === 0) return false;
    this.#credit--;
    return true;
  }

  #remember(host: string, now: number): void {
    this.#reported.delete(host);
    if (this.#reported.size >= MAX_NAMES) {
      for (const oldest of this.#reported.keys()) {
        this.#reported.delete(oldest);
        break;
      }
    }
    this.#reported.set(host, now);
  }
}
