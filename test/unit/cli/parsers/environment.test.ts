import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEnvFile } from "../../../../src/cli/parsers/env-file.ts";
import { parseEnvPair } from "../../../../src/cli/parsers/env-pair.ts";

test("the value is everything after the first =, untouched", () => {
  assert.deepEqual(parseEnvPair("A=b=c d\n'x'", {}), ["A", "b=c d\n'x'"]);
  assert.deepEqual(parseEnvPair("npm_config_@scope:registry=x", {}), ["npm_config_@scope:registry", "x"]);
  assert.deepEqual(parseEnvPair("EMPTY=", {}), ["EMPTY", ""]);
});

test("a name alone passes on the value that it has here, and is refused where it has none", () => {
  assert.deepEqual(parseEnvPair("HOME", { HOME: "/root" }), ["HOME", "/root"]);
  assert.deepEqual(parseEnvPair("EMPTY", { EMPTY: "" }), ["EMPTY", ""]);
  assert.throws(() => parseEnvPair("__proto__", {}), { code: "usage" });
  assert.throws(() => parseEnvPair("NOPE", {}), { code: "usage", hint: "write it as NOPE=value" });
});

test("names and values that no process can have are refused", () => {
  for (const text of ["", "=", "=x", "A B=1", "A\u001b=1", "A=\0"])
    assert.throws(() => parseEnvPair(text, {}), { code: "usage" });
});

test("a file has comments, blank lines, export and quotes; nothing is expanded; a later line wins", () => {
  const text =
    "\uFEFF# comment\n\nA=1\r\nexport B='two words'\nC=\"x # y\"\nD=$HOME\nE='half\n  F=spaced  \nA=last\nHERE\n";
  assert.deepEqual(parseEnvFile(text, "x.env", { HERE: "h" }), {
    A: "last",
    B: "two words",
    C: "x # y",
    D: "$HOME",
    E: "'half",
    F: "spaced",
    HERE: "h",
  });
});

test("an error in a file names file and line", () => {
  assert.throws(() => parseEnvFile("A=1\n\n=2\n", "secrets.env", {}), {
    code: "usage",
    message: 'secrets.env:3: "=2" does not begin with the name of a variable',
  });
});

test("a name such as __proto__ is a variable like any other", () => {
  assert.equal(JSON.stringify(parseEnvFile("__proto__=1", "x", {})), '{"__proto__":"1"}');
});
