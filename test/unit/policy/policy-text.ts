/** Policies and targets as short lines, so that tables of them can be read. */
import { buildPolicy, draftRule } from "../../../src/policy/build-policy.ts";
import { Policy } from "../../../src/policy/policy.ts";
import type { ConnectionTarget, NetMode, PolicySpec, RequestTarget, RuleDraft } from "../../../src/policy/spec.ts";

const SOURCE = { kind: "option", option: "--allow-net" } as const;

/**
 * A policy from lines: `none`, `balanced` or `open`; `+ PATTERN [METHODS|*] [PATHS]` allows, `- PATTERN …` denies, and
 * `js TEXT` is a rule in JavaScript.
 */
export function policySpec(lines: readonly string[]): PolicySpec {
  const mode = (lines.find((line) => /^(?:none|balanced|open)$/.test(line)) ?? "none") as NetMode;
  const rules = lines.filter((line) => /^[+-] /.test(line)).map(ruleDraft);
  const expressions = lines
    .filter((line) => line.startsWith("js "))
    .map((line) => ({ text: line.slice(3), source: { kind: "option", option: "--rule" } as const }));
  return buildPolicy({ mode, rules, expressions });
}

export function policyOf(...lines: string[]): Policy {
  return new Policy(policySpec(lines));
}

export function ruleDraft(line: string): RuleDraft {
  const [sign, pattern = "", methods = "*", paths] = line.split(" ");
  const draft = draftRule(sign === "+" ? "allow" : "deny", pattern, SOURCE);
  return {
    ...draft,
    methods: methods === "*" ? null : methods.split(","),
    paths: paths === undefined ? null : paths.split(","),
  };
}

/** `host:port`, with IPv6 in brackets. */
export function connectionTarget(text: string): ConnectionTarget {
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
}

/** `METHOD host:port/path`. */
export function requestTarget(text: string): RequestTarget {
  const match = /^(\S+) (\[[^\]]*\]|[^:/]*):(\d+)(.*)$/s.exec(text);
  if (match === null) throw new TypeError(`${text} is not a request`);
  const [, method = "", host = "", port = "", target = ""] = match;
  return { scheme: "https", method, host: host.replace(/^\[|\]$/g, ""), port: Number(port), target };
}
