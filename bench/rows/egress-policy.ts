/** One decision of the policy, with a thousand rules of every form and targets that meet them in different ways. */
import { Policy } from "../../src/policy/policy.ts";
import type { RequestTarget, RuleSpec } from "../../src/policy/spec.ts";
import { outcome, type Outcome, type OutcomeInput, type Row } from "../row.ts";
import { allInTurns, summarize } from "../statistics.ts";
import type { Bench } from "../workbench.ts";

const RULES = 1_000;
const TARGETS = 200;
/** Decisions of a round, so that the clock's grain is nothing. */
const DECISIONS = 10_000;
const REACH_US = 10;

const KINDS = {
  "a named host": (index: number) => `host-${index}.example.com`,
  "a host below a named one": (index: number) => `a.b.c.d.e.wild-${index}.example.org`,
  "an address in a range": (index: number) => `104.${index}.113.7`,
  "a host that is denied": (index: number) => `denied-${index}.example.com`,
  "a host that no rule names": (index: number) => `a.b.c.d.e.nobody-${index}.example.net`,
} as const;

type Kind = keyof typeof KINDS;

export const policyRow: Row = {
  id: "egress-policy",
  title: "policy decision with 1,000 rules",
  async measure(bench: Bench): Promise<Outcome[]> {
    const policy = new Policy({ mode: "none", rules: makeRules(), expressions: [] });
    checkVerdicts(policy);
    const decideConnection = (target: RequestTarget): unknown => policy.decideConnection(target);
    const decideRequest = (target: RequestTarget): unknown => policy.decideRequest(target);
    return [
      await measureSlowest(bench, "connection", decideConnection),
      await measureSlowest(bench, "request", decideRequest),
    ];
  },
};

/** The kind of target on which a decision takes longest. */
async function measureSlowest(
  bench: Bench,
  what: "connection" | "request",
  decide: (target: RequestTarget) => unknown,
): Promise<Outcome> {
  const works = Object.fromEntries(
    kinds().map((kind) => {
      const targets = makeTargets(kind);
      return [kind, async () => microsecondsEach(targets, decide)];
    }),
  ) as Record<Kind, () => Promise<number>>;
  const times = await allInTurns(bench.counts.rounds, 3, works);
  const bySpeed = kinds().toSorted((a, b) => summarize(times[b]).median - summarize(times[a]).median);
  for (const kind of bySpeed) bench.log(`${what}, ${kind}: ${summarize(times[kind]).median.toFixed(2)} µs`);
  const slowest = bySpeed[0] ?? "a named host";
  const input: OutcomeInput = {
    id: `egress-policy-${what}`,
    what: `decision on a ${what}, ${RULES} rules, slowest kind: ${slowest}`,
    unit: "µs",
    samples: times[slowest],
    reach: `≤ ${REACH_US} µs`,
    isReached: (median) => median <= REACH_US,
  };
  return outcome(input);
}

function microsecondsEach(targets: readonly RequestTarget[], decide: (target: RequestTarget) => unknown): number {
  const start = performance.now();
  for (let done = 0; done < DECISIONS; done += targets.length) {
    for (const target of targets) decide(target);
  }
  return ((performance.now() - start) * 1000) / DECISIONS;
}

function kinds(): Kind[] {
  return Object.keys(KINDS) as Kind[];
}

function makeTargets(kind: Kind): RequestTarget[] {
  return Array.from({ length: TARGETS }, (_, index) => ({
    ...{ host: KINDS[kind](index), port: 443, scheme: "https", method: "GET" },
    target: `/v1/items/${index}?page=${index}`,
  }));
}

/** A fifth each: names, names by path and method, wildcards, ranges, denials. */
function makeRules(): RuleSpec[] {
  const forms: ((index: number) => Partial<RuleSpec> & { host: string })[] = [
    (index) => ({ host: `host-${index}.example.com`, ports: [{ first: 443, last: 443 }] }),
    (index) => ({ host: `host-${index}.example.com`, methods: ["GET", "POST"], paths: ["/v1/**", "/health"] }),
    (index) => ({ host: `*.wild-${index}.example.org` }),
    (index) => ({ host: `104.${index}.0.0/16` }),
    (index) => ({ host: `denied-${index}.example.com`, verdict: "deny" }),
  ];
  const each = RULES / forms.length;
  return forms.flatMap((form, kind) =>
    Array.from({ length: each }, (_, index) => ({
      id: `r${kind * each + index}`,
      verdict: "allow" as const,
      ...{ ports: null, methods: null, paths: null, source: { kind: "option" as const, option: "--allow-net" } },
      ...form(index),
    })),
  );
}

/** A policy that decides quickly and wrongly is no result. */
function checkVerdicts(policy: Policy): void {
  for (const kind of kinds()) {
    const expected = kind === "a host that is denied" || kind === "a host that no rule names" ? "deny" : "allow";
    for (const target of makeTargets(kind)) {
      const verdicts = [policy.decideConnection(target).verdict, policy.decideRequest(target).decision.verdict];
      if (verdicts.some((verdict) => verdict !== expected)) {
        throw new Error(`${target.host} is decided as ${verdicts.join(" and ")}, not ${expected}`);
      }
    }
  }
}
