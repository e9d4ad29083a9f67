/** Rules, compiled, and found by the host that they are about rather than one after the other. */
import { HOST_LOOPBACK_NAME, type HostReading } from "./host-name.ts";
import { findTranslated, type IpAddress, type IpRange, findRange } from "./ip-address.ts";
import { type ClosedRange, findClosedRange, type IsOwnAddress } from "./closed-ranges.ts";
import { parsePathGlob, type PathGlob, pathIsCertainly, pathMayBe, type PathReadings } from "./path-glob.ts";
import { PathNarrowing } from "./path-index.ts";
import { includesPort } from "./ports.ts";
import { RangeIndex } from "./range-index.ts";
import { renderRule } from "./render.ts";
import type { Decision, RuleSpec } from "./spec.ts";

export interface CompiledRule {
  readonly spec: RuleSpec;
  /** Its place in the policy. */
  readonly at: number;
  /** It decides each request of a connection, not the connection. */
  readonly perRequest: boolean;
  readonly range: IpRange | undefined;
  readonly paths: readonly PathGlob[] | null;
  /** As decisions name it. */
  readonly shown: NonNullable<Decision["rule"]>;
}

/** What rules are asked about. */
export interface Subject {
  host: string;
  /** Undefined for a name. */
  address: IpAddress | undefined;
  /** For an address that is not public. */
  closed: ClosedRange | undefined;
}

export function toSubject(reading: Exclude<HostReading, { kind: "refused" }>, isOwn?: IsOwnAddress): Subject {
  if (reading.kind === "name") return { host: reading.host, address: undefined, closed: undefined };
  return { host: reading.host, address: reading.address, closed: findClosedRange(reading.address, isOwn) };
}

/** @throws SbxError `usage` for a path pattern that does not parse */
export function compileRule(spec: RuleSpec, at: number): CompiledRule {
  return {
    spec,
    at,
    perRequest: spec.methods !== null || spec.paths !== null,
    range: findRange(spec.host),
    paths: spec.paths?.map(parsePathGlob) ?? null,
    shown: { id: spec.id, text: renderRule(spec), source: spec.source },
  };
}

export class RuleIndex {
  readonly #names = new Map<string, CompiledRule[]>();
  /** By what comes after the `*.`. */
  readonly #suffixes = new Map<string, CompiledRule[]>();
  readonly #ranges: RangeIndex<CompiledRule>;
  readonly #everything: CompiledRule[] = [];
  readonly #narrowing = new PathNarrowing<CompiledRule>();

  /** @param rules in their order */
  constructor(rules: readonly CompiledRule[]) {
    for (const rule of rules) {
      const { host } = rule.spec;
      if (rule.range !== undefined) continue;
      if (host === "*") this.#everything.push(rule);
      else if (host.startsWith("*.")) append(this.#suffixes, host.slice(2), rule);
      else append(this.#names, host, rule);
    }
    this.#ranges = new RangeIndex(
      rules.flatMap((rule) => (rule.range === undefined ? [] : [[rule.range, rule] as const])),
    );
  }

  /** The rules whose host fits, in lists that are each in their order. Whether an allow rule opens it is not looked at. */
  find({ host, address }: Subject): (readonly CompiledRule[])[] {
    const lists: (readonly CompiledRule[])[] =
      address === undefined ? this.#findName(host) : this.#findAddress(address);
    if (this.#everything.length > 0) lists.push(this.#everything);
    return lists;
  }

  /** Of what {@link find} gave, at least the rules that can be about a path. */
  narrow(lists: readonly (readonly CompiledRule[])[], request: RequestView): (readonly CompiledRule[])[] {
    return this.#narrowing.narrow(lists, request.path);
  }

  #findName(host: string): (readonly CompiledRule[])[] {
    const lists: (readonly CompiledRule[])[] = [];
    const exact = this.#names.get(host);
    if (exact !== undefined) lists.push(exact);
    if (this.#suffixes.size === 0) return lists;
    for (let dot = host.indexOf("."); dot !== -1; dot = host.indexOf(".", dot + 1)) {
      const below = this.#suffixes.get(host.slice(dot + 1));
      if (below !== undefined) lists.push(below);
    }
    return lists;
  }

  #findAddress(address: IpAddress): (readonly CompiledRule[])[] {
    const lists = this.#ranges.find(address);
    const translated = findTranslated(address);
    if (translated === undefined) return lists;
    // Rules that deny the IPv4 address behind a NAT64 one; those that allow it name the IPv4 address alone.
    const denials = this.#ranges.find(translated).map((rules) => rules.filter(({ spec }) => spec.verdict === "deny"));
    return [...lists, ...denials];
  }
}

/** Whether an allow rule whose host fits is narrow enough to open the host. */
export function opens(rule: CompiledRule, subject: Subject): boolean {
  if (subject.host === HOST_LOOPBACK_NAME) return rule.spec.host === subject.host && rule.spec.ports !== null;
  if (subject.closed === undefined) return true;
  return rule.range !== undefined && rule.range.prefix >= subject.closed.prefix;
}

export function concernsPort(rule: CompiledRule, port: number): boolean {
  return includesPort(rule.spec.ports, port);
}

/** One request, as rules look at it. Its path is read when the first rule asks. */
export interface RequestView {
  readonly method: string;
  readonly path: () => PathReadings;
}

/** Whether the rule holds for the request: certainly for an allow rule, possibly for a deny rule. */
export function concernsRequest(rule: CompiledRule, request: RequestView): boolean {
  const { methods, verdict } = rule.spec;
  const { paths } = rule;
  if (verdict === "allow") {
    if (methods !== null && !methods.includes(request.method)) return false;
    return paths === null || paths.some((glob) => pathIsCertainly(glob, request.path()));
  }
  // Methods are case-sensitive, but not every server knows.
  if (methods !== null && !methods.includes(request.method.toUpperCase())) return false;
  return paths === null || paths.some((glob) => pathMayBe(glob, request.path()));
}

function append(map: Map<string, CompiledRule[]>, key: string, rule: CompiledRule): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [rule]);
  else list.push(rule);
}
