/**
 * Decides what a sandbox may reach. The enforcement and `sbx net check` ask the same functions. Targets come from the
 * guest: one that is not canonical is made so or denied.
 *
 * A deny rule that fits beats every allow rule; then an allow rule; then rules in JavaScript, which somebody else
 * evaluates; then the mode. Addresses that are not public stay closed unless a rule names them (closed-ranges.ts).
 */
import { isLoopback, type IsOwnAddress } from "./closed-ranges.ts";
import { describePolicy, type RuleRow } from "./describe.ts";
import { HOST_LOOPBACK_NAME, readHost } from "./host-name.ts";
import { findAddress, formatAddress, type IpAddress } from "./ip-address.ts";
import { readPath, type PathReadings } from "./path-glob.ts";
import { MAX_PORT, type PortRange } from "./ports.ts";
import { renderExpression, renderTarget, SANDBOX_WORD } from "./render.ts";
import {
  type CompiledRule,
  compileRule,
  concernsPort,
  concernsRequest,
  opens,
  RuleIndex,
  type Subject,
  toSubject,
} from "./rule-index.ts";
import type { ConnectionTarget, Decision, ExpressionSpec, PolicySpec, RequestTarget } from "./spec.ts";
import { quoteValue } from "./usage-error.ts";

export interface ConnectionDecision extends Decision {
  /**
   * What an allowed connection may carry: `anything`, or `requests` that are HTTP and decided one by one, and nothing
   * else.
   */
  carries: "anything" | "requests";
}

export interface RequestDecision {
  decision: Decision;
  /** The decision is a denial only if all rules in JavaScript say no: see {@link Policy.decideByExpressions}. */
  askExpressions: boolean;
}

/** What the rules in JavaScript said. */
export interface ExpressionsAnswer {
  verdict: "allow" | "deny";
  expression: ExpressionSpec | null;
  message: string | null;
}

export class Policy {
  readonly spec: PolicySpec;
  readonly #isOwn: IsOwnAddress | undefined;
  readonly #index: RuleIndex;
  #rows: RuleRow[] | undefined;

  /**
   * @param isOwn without it only addresses that are closed everywhere are closed
   * @throws SbxError `usage` for a rule whose path pattern does not parse
   */
  constructor(spec: PolicySpec, isOwn?: IsOwnAddress) {
    this.spec = spec;
    this.#isOwn = isOwn;
    this.#index = new RuleIndex(spec.rules.map(compileRule));
  }

  /** Whether any connection to the name could be allowed. */
  decideName(name: string): Decision {
    const reading = readHost(name);
    if (reading.kind === "refused") return deny(null, `${quoteValue(name)} is not a host: ${reading.why}`, null);
    const subject = toSubject(reading, this.#isOwn);
    const lists = this.#index.find(subject);
    const denials = lists.map((rules) => rules.filter((rule) => !isAllow(rule) && !rule.perRequest));
    const denied = denials.flat().flatMap(({ spec }) => spec.ports ?? EVERY_PORT);
    const whole = first(denials, ({ spec }) => spec.ports === null);
    const allowed = first(
      lists,
      (rule) => isAllow(rule) && opens(rule, subject) && !areCovered(rule.spec.ports ?? EVERY_PORT, denied),
    );
    if (whole === undefined && allowed !== undefined) return allowedBy(allowed, subject.host);
    const free = this.#decidesTheRest(subject) && !areCovered(EVERY_PORT, denied);
    if (whole === undefined && free) return allow(null, this.#whyFree(subject.host));
    const denial = whole ?? first(denials, () => true);
    return denial === undefined ? this.#denyUnnamed(subject, null) : deniedBy(denial, subject.host);
  }

  /** Whether the connection, or some request on it, could be allowed. */
  decideConnection(target: ConnectionTarget): ConnectionDecision {
    const subject = this.#readTarget(target);
    if ("verdict" in subject) return { ...subject, carries: "anything" };
    const lists = this.#index.find(subject);
    const { port } = target;
    const text = renderTarget({ host: subject.host, port });
    const denial = first(lists, (rule) => !isAllow(rule) && !rule.perRequest && concernsPort(rule, port));
    if (denial !== undefined) return { ...deniedBy(denial, text), carries: "anything" };
    const someDenied = first(lists, (rule) => !isAllow(rule) && concernsPort(rule, port)) !== undefined;
    const carries = someDenied ? "requests" : "anything";
    const isOpen = (rule: CompiledRule) => isAllow(rule) && concernsPort(rule, port) && opens(rule, subject);
    const whole = first(lists, (rule) => !rule.perRequest && isOpen(rule));
    if (whole !== undefined) return { ...allowedBy(whole, text), carries };
    const some = first(lists, isOpen);
    if (some !== undefined) {
      return { ...allow(some, `some requests to ${text} are allowed by ${quoteRule(some)}`), carries: "requests" };
    }
    if (!this.#decidesTheRest(subject)) return { ...this.#denyUnnamed(subject, port), carries: "anything" };
    return { ...allow(null, this.#whyFree(text)), carries: this.spec.expressions.length > 0 ? "requests" : carries };
  }

  /** Whether one request is allowed, or whether the rules in JavaScript have to be asked. */
  decideRequest(target: RequestTarget): RequestDecision {
    const subject = this.#readTarget(target);
    if ("verdict" in subject) return { decision: subject, askExpressions: false };
    const lists = this.#index.find(subject);
    const { port } = target;
    const request = viewRequest(target);
    const what = `${shownMethod(target.method)} ${renderTarget({ host: subject.host, port })}`;
    const near = this.#index.narrow(lists, request);
    const fits = (rule: CompiledRule) => concernsPort(rule, port) && concernsRequest(rule, request);
    const denial = first(near, (rule) => !isAllow(rule) && fits(rule));
    if (denial !== undefined) {
      const unclear = denial.paths !== null && request.path().kind === "unclear";
      return settled(deniedBy(denial, unclear ? `${what}, whose path can be read in several ways,` : what));
    }
    const permission = first(near, (rule) => isAllow(rule) && opens(rule, subject) && fits(rule));
    if (permission !== undefined) return settled(allowedBy(permission, what));
    const decides = this.#decidesTheRest(subject);
    if (decides && this.spec.expressions.length > 0) {
      const reason = `no rule allows ${what}`;
      return {
        decision: deny(null, reason, allowCommand(renderTarget({ host: subject.host, port }))),
        askExpressions: true,
      };
    }
    if (decides) return settled(allow(null, this.#whyFree(what)));
    const others = first(lists, (rule) => isAllow(rule) && opens(rule, subject) && concernsPort(rule, port));
    if (others === undefined) return settled(this.#denyUnnamed(subject, port));
    const reason = `${what} is not among the requests that ${quoteRule(others)} allows`;
    return settled(deny(null, reason, allowCommand(renderTarget({ host: subject.host, port }))));
  }

  /** The verdict on a request for which {@link decideRequest} said that they have to be asked. */
  decideByExpressions(target: RequestTarget, answer: ExpressionsAnswer): Decision {
    const what = `${shownMethod(target.method)} ${renderTarget(target)}`;
    if (answer.verdict === "allow" && answer.expression !== null) {
      const { id, source } = answer.expression;
      const text = renderExpression(answer.expression);
      return { verdict: "allow", rule: { id, text, source }, reason: `${what} is allowed by "${text}"`, fix: null };
    }
    const reason = answer.message ?? `no rule allows ${what}`;
    return deny(null, reason, allowCommand(renderTarget(target)));
  }

  /**
   * Whether the address that the target turned out to have may be dialled. The target itself has been allowed.
   *
   * @param address as a resolver gave it
   */
  decideAddress(target: ConnectionTarget, address: string): Decision {
    const subject = this.#readTarget(target);
    if ("verdict" in subject) return subject;
    const found = findAddress(address);
    if (found === undefined) return deny(null, `${quoteValue(address)} is not an address`, null);
    if (subject.host === HOST_LOOPBACK_NAME) return this.#decideLoopback(target, found);
    const resolved = toSubject({ kind: "address", host: formatAddress(found), address: found }, this.#isOwn);
    const what =
      subject.host === resolved.host
        ? renderTarget({ host: resolved.host, port: target.port })
        : `${subject.host} resolves to ${resolved.host}`;
    const lists = this.#index.find(resolved);
    const { port } = target;
    // A rule about requests to an address is not asked about requests to a name, so for a name it denies them all.
    const isDenial = (rule: CompiledRule) => !isAllow(rule) && (!rule.perRequest || subject.address === undefined);
    const denial = first(lists, (rule) => isDenial(rule) && concernsPort(rule, port));
    if (denial !== undefined) return deny(denial, `${what}, which is denied by ${quoteRule(denial)}`, null);
    if (resolved.closed === undefined) return allow(null, `${what}, a public address`);
    const permission = first(
      lists,
      (rule) =>
        isAllow(rule) &&
        concernsPort(rule, port) &&
        opens(rule, resolved) &&
        (!rule.perRequest || subject.host === resolved.host),
    );
    if (permission !== undefined) return allow(permission, `${what}, which is allowed by ${quoteRule(permission)}`);
    const reason = `${what}, ${resolved.closed.description}`;
    return deny(null, reason, allowCommand(renderTarget({ host: resolved.host, port })));
  }

  /** Whether rules by method or path, or in JavaScript, can matter there, so that every request has to be read. */
  readsRequests(target: ConnectionTarget): boolean {
    const { verdict, carries } = this.decideConnection(target);
    return verdict === "allow" && carries === "requests";
  }

  /** The effective policy, one row a rule, in order. */
  describe(): RuleRow[] {
    return (this.#rows ??= describePolicy(this.spec));
  }

  #readTarget({ host, port }: ConnectionTarget): Subject | Decision {
    const reading = readHost(host);
    if (reading.kind === "refused") return deny(null, `${quoteValue(host)} is not a host: ${reading.why}`, null);
    if (!Number.isInteger(port) || port < 1 || port > MAX_PORT) return deny(null, `${port} is not a port`, null);
    return toSubject(reading, this.#isOwn);
  }

  #decideLoopback(target: ConnectionTarget, address: IpAddress): Decision {
    const decision = this.decideConnection(target);
    if (decision.verdict === "deny") return decision;
    if (isLoopback(address)) return decision;
    return deny(null, `${HOST_LOOPBACK_NAME} is not ${formatAddress(address)}`, null);
  }

  /** Whether hosts that no rule names are allowed, or left to rules in JavaScript. */
  #decidesTheRest(subject: Subject): boolean {
    if (subject.closed !== undefined || subject.host === HOST_LOOPBACK_NAME) return false;
    return this.spec.mode === "open" || this.spec.expressions.length > 0;
  }

  #whyFree(what: string): string {
    if (this.spec.expressions.length > 0) return `rules in JavaScript decide on requests to ${what}`;
    return `${what} is public, and --net is open`;
  }

  /** @param port `null` when only a name is asked for */
  #denyUnnamed(subject: Subject, port: number | null): Decision {
    const { host, closed } = subject;
    const what = port === null ? host : renderTarget({ host, port });
    if (host === HOST_LOOPBACK_NAME) {
      const reason = `${what} is this machine's own loopback, which only a rule with its port opens`;
      return deny(null, reason, allowCommand(port === null ? `${host}:PORT` : what));
    }
    if (closed !== undefined) {
      return deny(null, `${what} is ${closed.description}, which only a rule that names it opens`, allowCommand(what));
    }
    return deny(null, `no rule allows ${what}`, allowCommand(what));
  }
}

const EVERY_PORT: readonly PortRange[] = [{ first: 1, last: MAX_PORT }];

function viewRequest({ method, target }: RequestTarget): { method: string; path: () => PathReadings } {
  let path: PathReadings | undefined;
  return { method, path: () => (path ??= readPath(target)) };
}

/** The first rule of the policy that fits, whichever list it is in. */
function first(
  lists: readonly (readonly CompiledRule[])[],
  fits: (rule: CompiledRule) => boolean,
): CompiledRule | undefined {
  let found: CompiledRule | undefined;
  for (const rules of lists) {
    for (const rule of rules) {
      if (found !== undefined && rule.at >= found.at) break;
      if (!fits(rule)) continue;
      found = rule;
      break;
    }
  }
  return found;
}

function isAllow(rule: CompiledRule): boolean {
  return rule.spec.verdict === "allow";
}

/** Whether every port of `ranges` is in one or another of `covers`. */
function areCovered(ranges: readonly PortRange[], covers: readonly PortRange[]): boolean {
  const sorted = covers.toSorted((a, b) => a.first - b.first);
  return ranges.every((range) => {
    let next = range.first;
    for (const cover of sorted) if (cover.first <= next) next = Math.max(next, cover.last + 1);
    return next > range.last;
  });
}

function settled(decision: Decision): RequestDecision {
  return { decision, askExpressions: false };
}

function allow(rule: CompiledRule | null, reason: string): Decision {
  return { verdict: "allow", rule: rule?.shown ?? null, reason, fix: null };
}

function allowedBy(rule: CompiledRule, what: string): Decision {
  return allow(rule, `${what} is allowed by ${quoteRule(rule)}`);
}

function deny(rule: CompiledRule | null, reason: string, fix: Decision["fix"]): Decision {
  return { verdict: "deny", rule: rule?.shown ?? null, reason, fix };
}

/** No command would allow it: a deny rule beats what would be added. */
function deniedBy(rule: CompiledRule, what: string): Decision {
  return deny(rule, `${what} is denied by ${quoteRule(rule)}`, null);
}

function allowCommand(pattern: string): string[] {
  return ["net", "allow", SANDBOX_WORD, pattern];
}

function quoteRule(rule: CompiledRule): string {
  return `"${rule.shown.text}"`;
}

/** The guest may call a method as it likes. */
function shownMethod(method: string): string {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/.test(method) ? method : quoteValue(method.slice(0, 32));
}
