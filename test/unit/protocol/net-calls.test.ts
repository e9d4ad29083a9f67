/** What the supervisor's socket takes about the network: exactly the documented shapes, and nothing without a bound. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { z } from "zod";
import { checkCall, rulesCall, secretsCall } from "../../../src/protocol/net-calls.ts";

type Schema = { safeParse(value: unknown): z.ZodSafeParseResult<unknown> };

function accepts(schema: unknown, value: unknown): boolean {
  return (schema as Schema).safeParse(value).success;
}

test("values of secrets are text with a limit, below names that a variable can have", () => {
  const values = (name: string, value: unknown): unknown => ({ values: { [name]: value } });
  assert.ok(accepts(secretsCall(), values("A_1", "x".repeat(16_384))));
  assert.ok(accepts(secretsCall(), values("A", "\u{1f511}")));
  assert.ok(!accepts(secretsCall(), values("A", "x".repeat(16_385))));
  assert.ok(!accepts(secretsCall(), values("A", "é".repeat(10_000))));
  assert.ok(!accepts(secretsCall(), values("A", "")));
  for (const text of ["abc", "key\0key", "key\n", "key\ud800"]) assert.ok(!accepts(secretsCall(), values("A", text)));
  assert.ok(!accepts(secretsCall(), values("A", null)));
  for (const name of ["", "1A", "A-B", "A=B", "Ä", "x".repeat(129)])
    assert.ok(!accepts(secretsCall(), values(name, "value")));
  const many = (count: number): unknown => ({
    values: Object.fromEntries(Array.from({ length: count }, (_, index) => [`S${index}`, "value"])),
  });
  assert.ok(accepts(secretsCall(), many(64)));
  assert.ok(!accepts(secretsCall(), many(65)));
});

test("proxies and roots come with the first call or not at all", () => {
  const proxy = { http: null, https: "http://proxy.example:3128/", noProxy: ["*"] };
  assert.ok(accepts(secretsCall(), { values: {}, proxy, extraRootsPem: ["pem"] }));
  assert.ok(accepts(secretsCall(), { values: {}, proxy: null }));
  assert.ok(!accepts(secretsCall(), { proxy }));
  assert.ok(!accepts(secretsCall(), { values: {}, proxy: { ...proxy, https: 5 } }));
  assert.ok(!accepts(secretsCall(), { values: {}, proxy: { http: null, https: null } }));
  assert.ok(!accepts(secretsCall(), { values: {}, extraRootsPem: "pem" }));
});

test("a check has a token for a method and a URL with a limit", () => {
  assert.ok(accepts(checkCall(), { method: "GET", url: "https://a.example/" }));
  assert.ok(!accepts(checkCall(), { method: "GET /", url: "https://a.example/" }));
  assert.ok(!accepts(checkCall(), { method: "", url: "https://a.example/" }));
  assert.ok(!accepts(checkCall(), { method: "GET", url: "" }));
  assert.ok(!accepts(checkCall(), { method: "GET", url: `https://a.example/${"x".repeat(16_384)}` }));
});

test("new rules have a verdict and at least one pattern, and no more than a thousand", () => {
  const rules = (verdict: string, count: number): unknown => ({ verdict, hosts: Array(count).fill("a.example") });
  assert.ok(accepts(rulesCall(), rules("allow", 1)));
  assert.ok(accepts(rulesCall(), rules("deny", 1000)));
  assert.ok(!accepts(rulesCall(), rules("deny", 1001)));
  assert.ok(!accepts(rulesCall(), rules("allow", 0)));
  assert.ok(!accepts(rulesCall(), rules("maybe", 1)));
  assert.ok(!accepts(rulesCall(), { verdict: "allow", hosts: ["x".repeat(1025)] }));
  assert.ok(!accepts(rulesCall(), { verdict: "allow", hosts: [""] }));
});
