/** The policy of a running sandbox: changes hold at once, all or none, and say what they did not change. */
import { test } from "node:test";
import assert from "node:assert/strict";
import type { AuditEvent } from "../../../src/egress/audit-event.ts";
import { LivePolicy } from "../../../src/egress/live-policy.ts";
import { buildPolicy, draftRule } from "../../../src/policy/build-policy.ts";
import { SbxError } from "../../../src/runtime/errors.ts";

function open(...denied: string[]): { live: LivePolicy; events: AuditEvent[] } {
  const events: AuditEvent[] = [];
  const rules = denied.map((host) => draftRule("deny", host, { kind: "option", option: "--deny-net" }));
  const spec = buildPolicy({ mode: "none", rules, expressions: [] });
  return { live: new LivePolicy(spec, (event) => events.push(event)), events };
}

const verdict = (live: LivePolicy, host: string, port: number): string =>
  live.current.decideConnection({ host, port }).verdict;

test("a rule holds for the next connection, and its row says where it comes from", () => {
  const { live, events } = open();
  assert.equal(verdict(live, "api.example.com", 443), "deny");
  const { rules, stillDenied } = live.change({ verdict: "allow", hosts: ["API.example.com:443"] });
  assert.equal(verdict(live, "api.example.com", 443), "allow");
  assert.equal(verdict(live, "api.example.com", 80), "deny");
  assert.deepEqual(stillDenied, []);
  assert.equal(rules.length, 1);
  assert.equal(rules[0]?.text, "api.example.com:443");
  assert.equal(rules[0].source.kind, "command");
  assert.equal(events.length, 1);
  assert.equal(events[0]?.kind, "change");
  assert.equal(events[0].host, "api.example.com");
});

test("a denial takes effect over what was allowed before", () => {
  const { live } = open();
  live.change({ verdict: "allow", hosts: ["*.example.com"] });
  live.change({ verdict: "deny", hosts: ["bad.example.com"] });
  assert.equal(verdict(live, "good.example.com", 443), "allow");
  assert.equal(verdict(live, "bad.example.com", 443), "deny");
});

test("what something else still denies is said, with the rule that does", () => {
  const { live } = open("*.example.com");
  const { stillDenied } = live.change({ verdict: "allow", hosts: ["api.example.com:443", "api.example.org"] });
  assert.deepEqual(
    stillDenied.map(({ host, decision }) => [host, decision.rule?.id]),
    [["api.example.com", "r1"]],
  );
});

test("a rule that is there already is answered, not added again", () => {
  const { live, events } = open();
  const [first] = live.change({ verdict: "allow", hosts: ["api.example.com", "api.example.com."] }).rules;
  const [again] = live.change({ verdict: "allow", hosts: ["API.EXAMPLE.COM"] }).rules;
  assert.equal(first?.id, again?.id);
  assert.equal(live.describe().length, 1);
  assert.equal(events.length, 1);
});

test("one bad pattern among good ones changes nothing", () => {
  const { live, events } = open();
  assert.throws(
    () => live.change({ verdict: "allow", hosts: ["api.example.com", "https://x.example/"] }),
    (error: unknown) => error instanceof SbxError && error.code === "usage",
  );
  assert.equal(verdict(live, "api.example.com", 443), "deny");
  assert.deepEqual(events, []);
});
