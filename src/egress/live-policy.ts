/** The policy of a running sandbox: what was decided at its start, and what its owner changed since. */
import type { AuditSink } from "./audit-event.ts";
import type { NetRow, RulesAnswer, RulesCall } from "../protocol/net-calls.ts";
import { MAX_RULES } from "../protocol/net-calls.ts";
import type { IsOwnAddress } from "../policy/closed-ranges.ts";
import { draftRule, extendPolicy } from "../policy/build-policy.ts";
import { Policy } from "../policy/policy.ts";
import type { Decision, PolicySpec, RuleDraft, RuleSpec } from "../policy/spec.ts";
import { SbxError } from "../runtime/errors.ts";

export class LivePolicy {
  readonly #audit: AuditSink;
  readonly #isOwn: IsOwnAddress | undefined;
  #current: Policy;

  /**
   * @param isOwn see {@link Policy}
   * @throws SbxError `usage` for a policy that does not compile
   */
  constructor(spec: PolicySpec, audit: AuditSink, isOwn?: IsOwnAddress) {
    this.#current = new Policy(spec, isOwn);
    this.#audit = audit;
    this.#isOwn = isOwn;
  }

  /** Holds for whatever is decided from now on; whoever has connections open asks again. */
  get current(): Policy {
    return this.#current;
  }

  describe(): NetRow[] {
    return this.#current.describe();
  }

  /** Adds rules at once, all or none. @throws SbxError `usage` for a pattern that is none */
  change({ verdict, hosts }: RulesCall): RulesAnswer {
    const now = Date.now();
    const drafts = hosts.map((host) => draftRule(verdict, host, { kind: "command", at: now }));
    const { rules } = this.#current.spec;
    const added = drafts.filter(
      (draft, at) => !has(rules, draft) && drafts.findIndex((other) => same(other, draft)) === at,
    );
    if (rules.length + added.length > MAX_RULES) {
      throw new SbxError("usage", `a policy has up to ${MAX_RULES} rules`, {
        hint: "name a range or *.example.com instead of single hosts",
      });
    }
    this.#current = new Policy(extendPolicy(this.#current.spec, added), this.#isOwn);
    for (const draft of added) this.#report(draft, now);
    return {
      rules: drafts.map((draft) => this.#rowOf(draft)),
      stillDenied: verdict === "allow" ? this.#stillDenied(drafts) : [],
    };
  }

  #report({ verdict, host, ports }: RuleDraft, time: number): void {
    const port = ports?.length === 1 && ports[0]?.first === ports[0]?.last ? ports[0]?.first : undefined;
    this.#audit({ time, kind: "change", verdict, host, ...(port === undefined ? {} : { port }), reason: "rule added" });
  }

  #rowOf(draft: RuleDraft): NetRow {
    const rule = this.#current.spec.rules.find((candidate) => same(candidate, draft));
    const row = this.#current.describe().find(({ id }) => id === rule?.id);
    if (row === undefined) throw new SbxError("internal", `the rule for ${draft.host} is not in the policy`);
    return row;
  }

  /** What was allowed and yet is denied, such as by a rule that was there before. Ranges are not tried. */
  #stillDenied(drafts: readonly RuleDraft[]): { host: string; decision: Decision }[] {
    return drafts.flatMap((draft) => {
      const host = draft.host.startsWith("*.") ? `any${draft.host.slice(1)}` : draft.host;
      if (host.includes("/")) return [];
      const port = draft.ports?.[0]?.first;
      const decision =
        port === undefined ? this.#current.decideName(host) : this.#current.decideConnection({ host, port });
      return decision.verdict === "deny" ? [{ host: draft.host, decision }] : [];
    });
  }
}

function has(rules: readonly RuleSpec[], draft: RuleDraft): boolean {
  return rules.some((rule) => same(rule, draft));
}

function same(a: RuleDraft, b: RuleDraft): boolean {
  const key = ({ verdict, host, ports, methods, paths }: RuleDraft): string =>
    JSON.stringify([verdict, host, ports, methods, paths]);
  return key(a) === key(b);
}
