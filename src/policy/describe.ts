/** The effective policy for `sbx net show`: each rule with its source, and a warning where it does less than it looks. */
import { staysPartlyClosed } from "./closed-ranges.ts";
import { matchesHost } from "./host-pattern.ts";
import { findRange } from "./ip-address.ts";
import { coversPorts } from "./ports.ts";
import { containsRange } from "./range-index.ts";
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

/** Pairs of rules that are looked at for warnings, at most: beyond, a policy is shown without some of them. */
const MAX_COMPARISONS = 4_000_000;

export function describePolicy(spec: PolicySpec): RuleRow[] {
  const denials = spec.rules.filter(({ verdict }) => verdict === "deny");
  const permissions = spec.rules.filter(({ verdict }) => verdict === "allow");
  const compares = spec.rules.length * spec.rules.length <= MAX_COMPARISONS;
  const rows = spec.rules.map((rule): RuleRow => {
    const same = rule.verdict === "deny" ? denials : permissions;
    const warning = compares ? warningFor(rule, denials, same, spec) : null;
    const { id, verdict, source } = rule;
    return { id, verdict, text: renderPattern(rule), kind: "host", source, warning };
  });
  for (const expression of spec.expressions) {
    const { id, source } = expression;
    const text = renderExpression(expression);
    rows.push({ id, verdict: "allow", text, kind: "expression", source, warning: null });
  }
  return rows;
}

function warningFor(
  rule: RuleSpec,
  denials: readonly RuleSpec[],
  same: readonly RuleSpec[],
  spec: PolicySpec,
): string | null {
  if (rule.verdict === "allow") {
    const denial = denials.find((other) => covers(other, rule));
    if (denial !== undefined) return `has no effect: ${denial.id} denies all of it (${renderRule(denial)})`;
  }
  const other = same.find(
    (candidate) => candidate !== rule && covers(candidate, rule) && isFirst(candidate, rule, spec),
  );
  if (other !== undefined) return `adds nothing to ${other.id} (${renderRule(other)})`;
  if (rule.verdict === "deny") return null;
  const range = findRange(rule.host);
  if (range !== undefined && staysPartlyClosed(range)) {
    return "opens public addresses only; name private ones by a range that lies within them";
  }
  return null;
}

/** Of two rules that say the same, the second is the one too many. */
function isFirst(candidate: RuleSpec, rule: RuleSpec, { rules }: PolicySpec): boolean {
  return !covers(rule, candidate) || rules.indexOf(candidate) < rules.indexOf(rule);
}

/** Whether whatever `inner` is about, `outer` is about as well. */
export function covers(outer: RuleSpec, inner: RuleSpec): boolean {
  return (
    coversHost(outer, inner) &&
    coversPorts(outer.ports, inner.ports) &&
    coversList(outer.methods, inner.methods) &&
    coversList(outer.paths, inner.paths)
  );
}

function coversHost({ host: outer, verdict }: RuleSpec, { host: inner }: RuleSpec): boolean {
  if (outer === inner || outer === "*") return true;
  const range = findRange(outer);
  const within = findRange(inner);
  if (range === undefined || within === undefined) {
    if (range !== undefined || within !== undefined) return false;
    return inner.startsWith("*.") ? isBelow(outer, inner) : matchesHost(outer, inner);
  }
  // A wide range that allows does not open the closed addresses that a narrow one names.
  return containsRange(range, within) && (verdict === "deny" || !staysPartlyClosed(range));
}

/** `*.example.com` and `*.a.example.com`. */
function isBelow(outer: string, inner: string): boolean {
  return outer.startsWith("*.") && inner.startsWith("*.") && inner.endsWith(outer.slice(1));
}

function coversList(outer: readonly string[] | null, inner: readonly string[] | null): boolean {
  if (outer === null) return true;
  return inner?.every((item) => outer.includes(item)) === true;
}
