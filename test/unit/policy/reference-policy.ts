/**
 * The policy's meaning once more, as plainly as can be: every rule is looked at, one after the other, with string
 * comparisons where the real one has indices. For names and addresses in canonical form, and plain paths.
 */
import { BlockList } from "node:net";
import type { ConnectionTarget, PolicySpec, RequestTarget, RuleSpec, Verdict } from "../../../src/policy/spec.ts";

const CLOSED_V4 = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"],
  ...["198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"],
];

export function referenceConnection(
  spec: PolicySpec,
  target: ConnectionTarget,
): { verdict: Verdict; rule: string | null; carries: "anything" | "requests" } {
  const here = spec.rules.filter((rule) => coversTarget(rule, target));
  const perRequest = (rule: RuleSpec) => rule.methods !== null || rule.paths !== null;
  const denial = here.find((rule) => rule.verdict === "deny" && !perRequest(rule));
  if (denial !== undefined) return { verdict: "deny", rule: denial.id, carries: "anything" };
  const someDenied = here.some((rule) => rule.verdict === "deny");
  const opening = here.filter((rule) => rule.verdict === "allow" && referenceOpens(rule, target.host));
  const whole = opening.find((rule) => !perRequest(rule));
  if (whole !== undefined) return { verdict: "allow", rule: whole.id, carries: someDenied ? "requests" : "anything" };
  const [some] = opening;
  if (some !== undefined) return { verdict: "allow", rule: some.id, carries: "requests" };
  if (isClosed(target.host) || (spec.mode !== "open" && spec.expressions.length === 0)) {
    return { verdict: "deny", rule: null, carries: "anything" };
  }
  return { verdict: "allow", rule: null, carries: someDenied || spec.expressions.length > 0 ? "requests" : "anything" };
}

export function referenceRequest(
  spec: PolicySpec,
  target: RequestTarget,
): { verdict: Verdict; rule: string | null; asks: boolean } {
  const here = spec.rules.filter((rule) => coversTarget(rule, target) && coversRequest(rule, target));
  const denial = here.find((rule) => rule.verdict === "deny");
  if (denial !== undefined) return { verdict: "deny", rule: denial.id, asks: false };
  const permission = here.find((rule) => rule.verdict === "allow" && referenceOpens(rule, target.host));
  if (permission !== undefined) return { verdict: "allow", rule: permission.id, asks: false };
  if (isClosed(target.host)) return { verdict: "deny", rule: null, asks: false };
  if (spec.expressions.length > 0) return { verdict: "deny", rule: null, asks: true };
  return { verdict: spec.mode === "open" ? "allow" : "deny", rule: null, asks: false };
}

function coversTarget(rule: RuleSpec, { host, port }: ConnectionTarget): boolean {
  if (rule.ports !== null && !rule.ports.some(({ first, last }) => port >= first && port <= last)) return false;
  if (rule.host === "*" || rule.host === host) return true;
  if (rule.host.startsWith("*.")) return !isAddress(host) && host.endsWith(rule.host.slice(1));
  return rule.host.includes("/") && isAddress(host) && inRange(rule.host, host);
}

function coversRequest(rule: RuleSpec, { method, target }: RequestTarget): boolean {
  if (rule.methods !== null && !rule.methods.includes(method)) return false;
  const path = target.split("?")[0] ?? "";
  return rule.paths === null || rule.paths.some((glob) => globExpression(glob).test(path));
}

/** For globs of whole segments. */
function globExpression(glob: string): RegExp {
  const source = glob
    .replace(/\/\*\*/g, "(?:/[^/]~)~")
    .replace(/\*/g, "[^/]+")
    .replace(/~/g, "*");
  return new RegExp(`^${source}$`);
}

function referenceOpens(rule: RuleSpec, host: string): boolean {
  if (host === "host.sbx.internal") return rule.host === host && rule.ports !== null;
  const closed = CLOSED_V4.find((range) => isAddress(host) && inRange(range, host));
  if (closed === undefined) return true;
  if (!/^[\d./]+$/.test(rule.host)) return false;
  return Number(rule.host.split("/")[1] ?? "32") >= Number(closed.split("/")[1]);
}

function isClosed(host: string): boolean {
  return host === "host.sbx.internal" || (isAddress(host) && CLOSED_V4.some((range) => inRange(range, host)));
}

function isAddress(host: string): boolean {
  return /^[\d.]+$/.test(host);
}

function inRange(range: string, address: string): boolean {
  const list = new BlockList();
  const [first = "", prefix = ""] = range.split("/");
  list.addSubnet(first, Number(prefix), "ipv4");
  return list.check(address, "ipv4");
}
