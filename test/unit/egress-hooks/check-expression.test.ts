/** The syntax check that a command makes before anything starts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkExpression, MAX_EXPRESSION_CHARS } from "../../../src/policy/expression.ts";

for (const text of ["true", "r.method === 'GET'", "({ allow: true })", "r.a // comment", "a, b", "\n r.host\n"]) {
  test(`${JSON.stringify(text)} is an expression`, () => checkExpression(text));
}

for (const [text, problem] of [
  ["r.host ==", "Unexpected token ')' (at its end)"],
  ["r.host === 'a", "Invalid or unexpected token (column 12)"],
  ["r.host === = 'a'", "Unexpected token '=' (column 12)"],
  ["r.host\n  r.port", "Unexpected identifier 'r' (line 2, column 3)"],
  ["if (true) {}", "Unexpected token 'if' (column 1)"],
  ["r.x) + (r.y", "Unexpected token ')' (column 4)"],
  ["a ] + [ b", "Unexpected token ']' (column 3)"],
  ["...r", "Unexpected token '...' (column 1)"],
  ["await r", "Unexpected identifier 'r' (column 7)"],
  ["r.x;", "Unexpected token ';' (column 4)"],
  ["r.x /*", "Invalid or unexpected token (at its end)"],
] as const) {
  test(`${JSON.stringify(text)} is none, and the place is named`, () => {
    assert.throws(() => checkExpression(text), {
      code: "usage",
      exitCode: 2,
      message: `the rule ${JSON.stringify(text)} is not a JavaScript expression: ${problem}`,
    });
  });
}

test("an empty rule and one that is too long are refused", () => {
  assert.throws(() => checkExpression(" "), { code: "usage", message: "a rule in JavaScript is empty" });
  checkExpression("1".padEnd(MAX_EXPRESSION_CHARS, " "));
  assert.throws(() => checkExpression("1".padEnd(MAX_EXPRESSION_CHARS + 1, " ")), {
    code: "usage",
    message: /4097 characters/,
  });
});
