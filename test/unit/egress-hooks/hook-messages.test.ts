/** What the supervisor takes from the hook process, which may say anything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseEvaluateResult, parseFailure, parseHookResult } from "../../../src/egress/hooks/hook-messages.ts";

const REQUEST = { kind: "request", method: "GET", url: null, fields: null, body: "same", length: null };
const RESPONSE = { kind: "response", status: 200, fields: [], body: "stream", length: 3 };

test("results come through as they are", () => {
  for (const result of [{ kind: "same" }, REQUEST, RESPONSE]) assert.deepEqual(parseHookResult(result), result);
});

for (const [name, result] of [
  ["no object", null],
  ["no kind", {}],
  ["another kind", { kind: "drop" }],
  ["a method with a space", { ...REQUEST, method: "GET /" }],
  ["an empty method", { ...REQUEST, method: "" }],
  ["a long method", { ...REQUEST, method: "A".repeat(65) }],
  ["a URL that is none", { ...REQUEST, url: "//x" }],
  ["a long URL", { ...REQUEST, url: `https://x.example/${"a".repeat(70_000)}` }],
  ["a status below 200", { ...RESPONSE, status: 101 }],
  ["a status that is no number", { ...RESPONSE, status: "200" }],
  ["a field's name with a colon", { ...RESPONSE, fields: [["a:b", "c"]] }],
  ["a field's value with a line break", { ...RESPONSE, fields: [["a", "b\r\nc: d"]] }],
  ["a field's value with NUL", { ...RESPONSE, fields: [["a", "\0"]] }],
  ["a field's value beyond latin1", { ...RESPONSE, fields: [["a", "\u0100"]] }],
  ["a field without a value", { ...RESPONSE, fields: [["a"]] }],
  ["fields that are no list", { ...RESPONSE, fields: { a: "b" } }],
  ["no fields", { ...RESPONSE, fields: null }],
  ["too many fields", { ...RESPONSE, fields: Array.from({ length: 1001 }, () => ["a", "b"]) }],
  ["fields that are too large", { ...RESPONSE, fields: [["a", "b".repeat(300_000)]] }],
  ["another body", { ...RESPONSE, body: "file" }],
  ["a negative length", { ...RESPONSE, length: -1 }],
  ["half a length", { ...RESPONSE, length: 0.5 }],
] as const) {
  test(`a result with ${name} is refused`, () => {
    assert.throws(() => parseHookResult(result), Error);
  });
}

test("whatever a process says is an error or fits the types", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.integer({ min: 1, max: 5 }), (value, expressions) => {
      assert.equal(typeof parseFailureOrThrow(value), "string");
      try {
        const { allowed } = parseEvaluateResult(value, expressions);
        assert.ok(allowed >= -1 && allowed < expressions);
      } catch (error) {
        assert.ok(error instanceof Error && !(error instanceof TypeError));
      }
    }),
  );
});

test("texts are cut to what fits a message", () => {
  assert.deepEqual(parseFailure({ message: "x".repeat(5000), at: 1 }), { message: `${"x".repeat(1000)}…`, at: null });
});

function parseFailureOrThrow(value: unknown): string {
  try {
    return parseFailure(value).message;
  } catch (error) {
    assert.ok(error instanceof Error && !(error instanceof TypeError));
    return "";
  }
}
