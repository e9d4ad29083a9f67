/** Rules, their sources and ways out, as one line of text for a person. Parts of it were written by the user. */
import { renderPorts, type PortRange } from "./ports.ts";
import type { ConnectionTarget, Decision, ExpressionSpec, RuleSource, RuleSpec } from "./spec.ts";

/** Stands for the sandbox's name in a fix. */
export const SANDBOX_WORD = "SANDBOX";
const MAX_EXPRESSION_LENGTH = 120;

/** As parseHostPattern reads it. */
export function renderHostPattern(host: string, ports: readonly PortRange[] | null): string {
  if (ports === null) return host;
  return `${host.includes(":") ? `[${host}]` : host}:${renderPorts(ports)}`;
}

export function renderTarget({ host, port }: ConnectionTarget): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Without its verdict, such as `*.example.com:443 GET,HEAD /v1/**`. */
export function renderPattern(rule: Pick<RuleSpec, "host" | "ports" | "methods" | "paths">): string {
  const words = [renderHostPattern(rule.host, rule.ports)];
  if (rule.methods !== null) words.push(rule.methods.join(","));
  if (rule.paths !== null) words.push(rule.paths.join(","));
  return words.join(" ");
}

/** Such as `deny *.example.com:443`. */
export function renderRule(rule: Pick<RuleSpec, "verdict" | "host" | "ports" | "methods" | "paths">): string {
  return `${rule.verdict} ${renderPattern(rule)}`;
}

/** A rule in JavaScript, on one line and cut where it is long. */
export function renderExpression({ text }: Pick<ExpressionSpec, "text">): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > MAX_EXPRESSION_LENGTH ? `${line.slice(0, MAX_EXPRESSION_LENGTH)}…` : line;
}

/** Where a rule was written, such as `--allow-net` or `policy.yaml:12`. */
export function renderSource(source: RuleSource): string {
  switch (source.kind) {
    case "default":
      return "default";
    case "preset":
      return `preset ${source.name}`;
    case "option":
      return source.option;
    case "file":
      return `${source.path}:${source.line}`;
    case "command":
      return `command of ${new Date(source.at).toISOString().slice(0, 19)}Z`;
    case "api":
      return "API";
  }
}

/** A fix as it is typed. Its words need no quoting: hosts and ports have no character that a shell looks at. */
export function renderFix(fix: NonNullable<Decision["fix"]>, sandbox: string = SANDBOX_WORD): string {
  return ["sbx", ...fix.map((word) => (word === SANDBOX_WORD ? sandbox : word))].join(" ");
}
