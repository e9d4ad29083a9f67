/**
 * A line after a command in a sandbox that was refused something: what, and how to allow it. Hosts are what the guest
 * asked for.
 */
import type { NetDenial } from "../../runtime/network.ts";
import { truncate } from "../output/display-width.ts";
import { escapeLine } from "../output/escape.ts";
import { quoteWord } from "../output/shell-quote.ts";

/** Hosts that are named; the others are counted. */
const NAMED = 3;
const MAX_HOST_WIDTH = 60;

/** Such as `3 requests were denied (db.example:5432); try: sbx run --allow-net db.example:5432`; `undefined` if none. */
export function describeDenied(denied: readonly NetDenial[], way: DeniedWay): string | undefined {
  if (denied.length === 0) return undefined;
  const count = denied.reduce((sum, denial) => sum + denial.count, 0);
  const latest = denied.toReversed();
  const hosts = [...new Set(latest.map(hostOf))];
  const named = hosts.slice(0, NAMED).map((host) => truncate(escapeLine(host), MAX_HOST_WIDTH));
  const others = hosts.length > NAMED ? ` and ${hosts.length - NAMED} more` : "";
  const what = `${count} ${count === 1 ? "request was" : "requests were"} denied (${named.join(", ")}${others})`;
  const patterns = [...new Set(latest.flatMap(patternsOf))].slice(0, NAMED);
  return patterns.length === 0 ? what : `${what}; try: ${wayOut(patterns, way)}`;
}

/** How more can be allowed: at once, or the next time. */
export type DeniedWay = { kind: "running"; sandbox: string } | { kind: "again"; command: "create" | "run" };

function wayOut(patterns: readonly string[], way: DeniedWay): string {
  if (way.kind === "running") return `sbx net allow ${way.sandbox} ${patterns.map(quoteWord).join(" ")}`;
  return `sbx ${way.command} ${patterns.map((pattern) => `--allow-net ${quoteWord(pattern)}`).join(" ")} …`;
}

function hostOf({ host, port }: NetDenial): string {
  if (port === null) return host;
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** The patterns of `sbx net allow SANDBOX PATTERN…`, where that is the way out. */
function patternsOf({ fix }: NetDenial): readonly string[] {
  return fix?.[0] === "net" && fix[1] === "allow" ? fix.slice(3) : [];
}
