/** The leaks of one request: each place is told once, and never with more of the guest's text than a field's name. */
import type { RequestHead } from "../http-heads.ts";
import type { Finding, RequestOrigin } from "./secret-book.ts";
import { type Leak, type LeakAction, LeakError } from "./secrets.ts";

export type ReportLeak = (leak: Leak, head: RequestHead) => void;

export interface LeakRules {
  onLeak: LeakAction;
  report: ReportLeak;
}

export class LeakLog {
  readonly leaks: Leak[] = [];
  readonly #head: RequestHead;
  readonly #rules: LeakRules;

  /** @param head as it came from the guest */
  constructor(head: RequestHead, rules: LeakRules) {
    this.#head = head;
    this.#rules = rules;
  }

  /** Whether a finding does not belong into this request. */
  findLeak(finding: Finding, origin: RequestOrigin, where: string): Leak | null {
    if (finding.kind === "placeholder") {
      const { secret } = finding;
      // One of a former life is worth nothing to anybody, and yet says more as a refusal than as an upstream's 401.
      if (secret.isFormer) return { secret: secret.name, where, what: "former placeholder" };
      if (this.#rules.onLeak === "pass" || secret.belongsTo(origin)) return null;
      return { secret: secret.name, where, what: "placeholder" };
    }
    if (finding.current.some((secret) => secret.belongsTo(origin))) return null;
    return { secret: finding.all[0]?.name ?? "", where, what: "value" };
  }

  /** @returns whether the request must not leave */
  add(leak: Leak): boolean {
    const known = this.leaks.some(
      ({ secret, where, what }) => secret === leak.secret && where === leak.where && what === leak.what,
    );
    if (!known) {
      this.leaks.push(leak);
      this.#rules.report(leak, this.#head);
    }
    return this.#rules.onLeak === "block";
  }

  /** @throws LeakError where the request must not leave */
  addOrThrow(leak: Leak): void {
    if (this.add(leak)) throw new LeakError(leak);
  }
}
