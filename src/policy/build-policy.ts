/** Puts the parts of a policy together: what options, files, presets and later commands say. */
import { parseHostPattern } from "./host-pattern.ts";
import type { ExpressionDraft, NetMode, PolicySpec, RuleDraft, RuleSource, Verdict } from "./spec.ts";

export interface PolicyParts {
  mode: NetMode;
  /** In the order in which they are shown; those of a preset last. */
  rules: readonly RuleDraft[];
  expressions: readonly ExpressionDraft[];
}

/** Numbers rules as `r1`, `r2`… and rules in JavaScript as `e1`, `e2`… */
export function buildPolicy({ mode, rules, expressions }: PolicyParts): PolicySpec {
  return {
    mode,
    rules: rules.map((rule, at) => ({ id: `r${at + 1}`, ...rule })),
    expressions: expressions.map((expression, at) => ({ id: `e${at + 1}`, ...expression })),
  };
}

/** The policy with more rules at its end. Ids of its rules stay, and none is used again. */
export function extendPolicy(spec: PolicySpec, drafts: readonly RuleDraft[]): PolicySpec {
  const last = Math.max(0, ...spec.rules.map(({ id }) => Number(/^r(\d+)$/.exec(id)?.[1] ?? 0)));
  return { ...spec, rules: [...spec.rules, ...drafts.map((rule, at) => ({ id: `r${last + at + 1}`, ...rule }))] };
}

/** A rule of one pattern, as `--allow-net`, `--deny-net`, `sbx net allow` and `sbx net deny` take it. @throws SbxError `usage` */
export function draftRule(verdict: Verdict, pattern: string, source: RuleSource): RuleDraft {
  return { verdict, ...parseHostPattern(pattern, verdict), methods: null, paths: null, source };
}
