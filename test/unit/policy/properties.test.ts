/** What holds for every policy: the index means what a list of rules means, and the decisions agree with each other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { buildPolicy } from "../../../src/policy/build-policy.ts";
import { Policy } from "../../../src/policy/policy.ts";
import type { PolicySpec, RequestTarget, RuleDraft } from "../../../src/policy/spec.ts";
import { referenceConnection, referenceRequest } from "./reference-policy.ts";

// Few of each, so that rules and targets meet.
const names = ["a.test", "b.a.test", "c.b.a.test", "test", "xa.test", "b.test", "host.sbx.internal", "internal"];
const addresses = ["10.0.0.5", "10.1.0.5", "8.8.8.8", "8.8.4.4", "127.0.0.1", "169.254.1.1", "172.20.0.1", "11.0.0.1"];
const patterns = ["*", "*.test", "*.a.test", "*.b.a.test", "*.sbx.internal", "*.internal"];
const ranges = ["10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/7", "8.8.0.0/16", "8.8.8.0/24", "0.0.0.0/0", "172.16.0.0/12"];
const paths = ["/", "/v1", "/v1/x", "/v1/x/y", "/v2/x"];
const globs = ["/", "/**", "/v1/*", "/v1/**", "/*/x", "/**/x", "/v1/x"];
const ports = [80, 443, 8080];

const portRanges = fc.constantFrom(
  null,
  null,
  [{ first: 443, last: 443 }],
  [{ first: 1, last: 443 }],
  [
    { first: 80, last: 80 },
    { first: 8000, last: 9000 },
  ],
);
const ruleDraft: fc.Arbitrary<RuleDraft> = fc.record({
  verdict: fc.constantFrom("allow", "allow", "deny"),
  host: fc.constantFrom(...names, ...names, ...addresses, ...patterns, ...ranges),
  ports: portRanges,
  methods: fc.constantFrom(null, null, ["GET"], ["POST", "PUT"]),
  paths: fc.oneof(fc.constant(null), fc.constant(null), fc.subarray(globs, { minLength: 1, maxLength: 2 })),
  source: fc.constant({ kind: "default" } as const),
});
const policySpec: fc.Arbitrary<PolicySpec> = fc
  .record({
    mode: fc.constantFrom("none", "balanced", "open"),
    rules: fc.array(ruleDraft, { maxLength: 12 }),
    expressions: fc.constantFrom([], [], [], [{ text: "true", source: { kind: "default" } as const }]),
  })
  .map(buildPolicy);
const request: fc.Arbitrary<RequestTarget> = fc.record({
  scheme: fc.constantFrom("http", "https"),
  host: fc.constantFrom(...names, ...addresses),
  port: fc.constantFrom(...ports),
  method: fc.constantFrom("GET", "POST", "DELETE"),
  target: fc.constantFrom(...paths, ...paths.map((path) => `${path}?q=/v1/x`)),
});

const RUNS = { numRuns: 2000, seed: 33 };

test("an index of rules decides as a list of rules does, and names the same rule", () => {
  fc.assert(
    fc.property(policySpec, request, (spec, target) => {
      const policy = new Policy(spec);
      const connection = policy.decideConnection(target);
      assert.deepEqual(
        { verdict: connection.verdict, rule: connection.rule?.id ?? null, carries: connection.carries },
        referenceConnection(spec, target),
      );
      const { decision, askExpressions } = policy.decideRequest(target);
      assert.deepEqual(
        { verdict: decision.verdict, rule: decision.rule?.id ?? null, asks: askExpressions },
        referenceRequest(spec, target),
      );
    }),
    RUNS,
  );
});

test("an index of many paths of one host decides as a list of rules does", () => {
  const sameHost = fc.array(ruleDraft, { minLength: 30, maxLength: 60 }).map((drafts) =>
    buildPolicy({
      mode: "none",
      rules: drafts.map((draft, at) => ({ ...draft, host: "a.test", verdict: at % 9 === 0 ? "deny" : "allow" })),
      expressions: [],
    }),
  );
  const narrow = sameHost.map((spec) => ({ ...spec, rules: spec.rules.filter((rule) => rule.paths !== null) }));
  fc.assert(
    fc.property(fc.oneof(sameHost, narrow), request, (spec, target) => {
      const here = { ...target, host: "a.test" };
      const { decision } = new Policy(spec).decideRequest(here);
      const { verdict, rule } = referenceRequest(spec, here);
      assert.deepEqual([decision.verdict, decision.rule?.id ?? null], [verdict, rule]);
    }),
    RUNS,
  );
});

test("what is denied to the connection is denied to every request; what carries anything allows every request", () => {
  fc.assert(
    fc.property(policySpec, request, (spec, target) => {
      const policy = new Policy(spec);
      const { verdict, carries } = policy.decideConnection(target);
      const { decision, askExpressions } = policy.decideRequest(target);
      if (verdict === "deny") assert.deepEqual([decision.verdict, askExpressions], ["deny", false]);
      else if (carries === "anything") assert.equal(decision.verdict, "allow");
    }),
    RUNS,
  );
});

test("a name that is denied has no connection on any port, and a name that is allowed has one", () => {
  // Edges of every rule's ports are among these.
  const probes = [1, 79, 80, 81, 443, 444, 7999, 8000, 8080, 9000, 9001, 65_535];
  fc.assert(
    fc.property(policySpec, fc.constantFrom(...names), (spec, host) => {
      const policy = new Policy(spec);
      const connections = probes.map((port) => policy.decideConnection({ host, port }).verdict);
      assert.equal(policy.decideName(host).verdict, connections.includes("allow") ? "allow" : "deny");
    }),
    RUNS,
  );
});

test("the order of rules changes which one is named, and never the verdict", () => {
  fc.assert(
    fc.property(policySpec, request, fc.nat(), (spec, target, seed) => {
      const shuffled = spec.rules.toSorted((a, b) => hash(a.id, seed) - hash(b.id, seed));
      const one = new Policy(spec);
      const other = new Policy({ ...spec, rules: shuffled });
      assert.equal(one.decideConnection(target).verdict, other.decideConnection(target).verdict);
      assert.equal(one.decideRequest(target).decision.verdict, other.decideRequest(target).decision.verdict);
      assert.equal(one.readsRequests(target), other.readsRequests(target));
    }),
    RUNS,
  );
});

test("one more deny rule never allows more", () => {
  fc.assert(
    fc.property(policySpec, ruleDraft, request, (spec, draft, target) => {
      const stricter = { ...spec, rules: [...spec.rules, { ...draft, id: "more", verdict: "deny" as const }] };
      const before = new Policy(spec).decideRequest(target).decision.verdict;
      const after = new Policy(stricter).decideRequest(target).decision.verdict;
      assert.ok(before === "allow" || after === "deny");
    }),
    RUNS,
  );
});

test("a rule without effect is shown with a warning, and taking it away changes no verdict", () => {
  fc.assert(
    fc.property(policySpec, fc.array(request, { minLength: 20, maxLength: 20 }), (spec, targets) => {
      const policy = new Policy(spec);
      for (const row of policy.describe()) {
        if (row.warning === null || row.warning.startsWith("opens")) continue;
        const without = new Policy({ ...spec, rules: spec.rules.filter(({ id }) => id !== row.id) });
        for (const target of targets) {
          assert.equal(policy.decideRequest(target).decision.verdict, without.decideRequest(target).decision.verdict);
          // A connection for requests that are all denied may be opened all the same: they are looked at one by one.
          if (row.warning.startsWith("adds")) {
            assert.equal(policy.decideConnection(target).verdict, without.decideConnection(target).verdict);
          }
        }
      }
    }),
    { ...RUNS, numRuns: 500 },
  );
});

function hash(text: string, seed: number): number {
  let value = seed;
  for (const character of text) value = Math.imul(value ^ character.charCodeAt(0), 0x01000193) >>> 0;
  return value;
}
