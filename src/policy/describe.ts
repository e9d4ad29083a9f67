/** The effective policy for `sbx net show`: each rule with its source, and a warning where it does less than it looks. */
import { staysPartlyClosed } from "./closed-ranges.ts";
import { HOST_LOOPBACK_NAME } from "./host-name.ts";
import { findRange, type IpRange } from "./ip-address.ts";
import { coversPorts } from "./ports.ts";
import { containsRange, RangeIndex } from "./range-index.ts";
import { renderExpression, renderPattern, renderRule } from "./render.ts";
import type { PolicySpec, RuleSource, RuleSpec, Verdict } from "./spec.ts";

export interface RuleRow {
  id: string;
  verdict: Verdict;
  /** As a user would write it, without the verdict; or a rule in JavaScript, cut where it is long. */
  text: string;
  kind: "host" | "expression";
  source: RuleSource;
  warning: string | null;
}

export function describePolicy(spec: PolicySpec): RuleRow[] {
  const wider = new WiderRules(spec.rules);
  const rows = spec.rules.map((rule): RuleRow => {
    const { id, verdict, source } = rule;
    return { id, verdict, text: renderPattern(rule), kind: "host", source, warning: warningFor(rule, wider) };
  });
  for (const expression of spec.expressions) {
    const { id, source } = expression;
    const text = renderExpression(expression);
    rows.push({ id, verdict: "allow", text, kind: "expression", source, warning: null });
  }
  return rows;
}

function warningFor(rule: RuleSpec, wider: WiderRules): string | null {
  const others = wider.find(rule);
  if (rule.verdict === "allow") {
    const denial = others.find(({ verdict }) => verdict === "deny");
    if (denial !== undefined) return `has no effect: ${denial.id} denies all of it (${renderRule(denial)})`;
  }
  const same = others.find((other) => other.verdict === rule.verdict && !wider.isFirst(rule, other));
  if (same !== undefined) return `adds nothing to ${same.id} (${renderRule(same)})`;
  if (rule.verdict === "deny") return null;
  const range = findRange(rule.host);
  if (range === undefined || !staysPartlyClosed(range)) return null;
  return "opens public addresses only; name private ones by a range that lies within them";
}

/** Finds the rules that are about all that another one is about. */
class WiderRules {
  readonly #places: ReadonlyMap<RuleSpec, number>;
  readonly #byHost: ReadonlyMap<string, readonly RuleSpec[]>;
  readonly #ranges: RangeIndex<RuleSpec>;

  constructor(rules: readonly RuleSpec[]) {
    this.#places = new Map(rules.map((rule, at) => [rule, at]));
    this.#byHost = Map.groupBy(rules, ({ host }) => host);
    this.#ranges = new RangeIndex(
      rules.flatMap((rule) => {
        const range = findRange(rule.host);
        return range === undefined ? [] : [[range, rule] as const];
      }),
    );
  }

  find(rule: RuleSpec): RuleSpec[] {
    return this.#aboutHost(rule.host).filter(
      (other) =>
        other !== rule &&
        coversPorts(other.ports, rule.ports) &&
        coversList(other.methods, rule.methods) &&
        coversList(other.paths, rule.paths),
    );
  }

  /** Of two rules that say the same, the second is the one too many. */
  isFirst(rule: RuleSpec, other: RuleSpec): boolean {
    return this.find(other).includes(rule) && (this.#places.get(rule) ?? 0) < (this.#places.get(other) ?? 0);
  }

  #aboutHost(host: string): RuleSpec[] {
    const all = host === "*" ? [] : (this.#byHost.get("*") ?? []);
    const range = findRange(host);
    if (range !== undefined) return [...all.filter(isDenial), ...this.#aboutRange(range)];
    const wider = wildcardsOf(host).flatMap((pattern) => this.#byHost.get(pattern) ?? []);
    const same = this.#byHost.get(host) ?? [];
    // Only a rule of its own and with a port opens it.
    if (host === HOST_LOOPBACK_NAME) {
      return [...all, ...wider, ...same].filter(
        (rule) => isDenial(rule) || (rule.host === host && rule.ports !== null),
      );
    }
    return [...all, ...wider, ...same];
  }

  #aboutRange(range: IpRange): RuleSpec[] {
    const around = this.#ranges.find({ family: range.family, value: range.first }).flat();
    return around.filter((rule) => {
      const outer = findRange(rule.host);
      if (outer === undefined || !containsRange(outer, range)) return false;
      // A wide range that allows does not open the closed addresses that a narrow one names.
      return isDenial(rule) || outer.prefix === range.prefix || !staysPartlyClosed(outer);
    });
  }
}

/** The patterns that stand for more than the name or pattern, and for it as well. */
function wildcardsOf(host: string): string[] {
  const wider: string[] = [];
  const name = host.startsWith("*.") ? host.slice(2) : host;
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) wider.push(`*${name.slice(dot)}`);
  return wider;
}

function isDenial({ verdict }: RuleSpec): boolean {
  return verdict === "deny";
}

/** Whether a rule with the one list is about all that one with the other is about; `null` is everything. */
function coversList(outer: readonly string[] | null, inner: readonly string[] | null): boolean {
  if (outer === null) return true;
  return inner?.every((item) => outer.includes(item)) === true;
}
