import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseCopyOperand } from "../../../../src/cli/parsers/copy-operand.ts";
import { parseCount } from "../../../../src/cli/parsers/count.ts";
import { parseLabel, parseLabels } from "../../../../src/cli/parsers/label.ts";
import { parseImageRef, parseSandboxName, parseSandboxRef } from "../../../../src/cli/parsers/names.ts";
import { parsePackageName } from "../../../../src/cli/parsers/package-name.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";

test("a colon before the first slash makes a path one of a sandbox", () => {
  assert.deepEqual(parseCopyOperand("web:/app/x:y"), { kind: "guest", sandbox: "web", path: "/app/x:y" });
  assert.deepEqual(parseCopyOperand("web:"), { kind: "guest", sandbox: "web", path: "." });
  assert.deepEqual(parseCopyOperand("sbx_loc_0:rel/*.js"), { kind: "guest", sandbox: "sbx_loc_0", path: "rel/*.js" });
  assert.deepEqual(parseCopyOperand("./a:b"), { kind: "host", path: "./a:b" });
  assert.deepEqual(parseCopyOperand("/a:b"), { kind: "host", path: "/a:b" });
  assert.deepEqual(parseCopyOperand("plain"), { kind: "host", path: "plain" });
});

test("an operand that is neither is refused with how to write it", () => {
  assert.throws(() => parseCopyOperand(":/x"), { hint: "write it as SANDBOX:/x, or ./:/x for a file here" });
  assert.throws(() => parseCopyOperand("a b:/x"), { code: "usage" });
  assert.throws(() => parseCopyOperand(""), { code: "usage" });
  assert.throws(() => parseCopyOperand("a\0"), { code: "usage" });
});

test("labels have a plain key and up to 128 bytes of printable value", () => {
  assert.deepEqual(parseLabel("app.io/team=a=b ä"), ["app.io/team", "a=b ä"]);
  assert.deepEqual(parseLabels(["a=1", "a=2"]), { a: "2" });
  for (const text of ["a", "=1", "-a=1", "a b=1", `${"k".repeat(65)}=1`, `a=${"ä".repeat(65)}`, "a=\u001b"]) {
    assert.throws(() => parseLabel(text), { code: "usage" }, text);
  }
});

test("a name can be a host name, and cannot pass for an id, a path or an option", () => {
  for (const text of ["web", "1", "web-1", "x".repeat(63)]) assert.equal(parseSandboxName(text), text);
  for (const text of ["", "sbx_loc_x", "-x", ".x", "a/b", "a:b", "a b", "ä", "x".repeat(64)]) {
    assert.throws(() => parseSandboxName(text), { code: "usage" }, text);
  }
  for (const text of ["Web", "web_1", "web.1", "web-", "sbx-0123abcd"]) {
    assert.throws(() => parseSandboxName(text), { code: "usage", hint: /^use up to 63 lower-case letters/ }, text);
  }
  assert.equal(parseSandboxRef("sbx_loc_0123456789abcdefghjk"), "sbx_loc_0123456789abcdefghjk");
  assert.throws(() => parseSandboxRef("../x"), { code: "usage", hint: "sbx list" });
  assert.equal(parseImageRef("a".repeat(64)), "a".repeat(64));
  assert.throws(() => parseImageRef("a/b"), { code: "usage" });
});

test("counts are digits within a range", () => {
  assert.equal(parseCount("4", { min: 1, max: 8 }), 4);
  for (const text of ["0", "9", "", "1.0", "-1", "1e1", "0x2", " 1"])
    assert.throws(() => parseCount(text, { min: 1, max: 8 }), { code: "usage" }, text);
});

test("packages have names that Debian allows", () => {
  assert.equal(parsePackageName("libstdc++6"), "libstdc++6");
  for (const text of ["", "a", "A2", "-ab", "a b", "a;b", "../ab", "ab=1"])
    assert.throws(() => parsePackageName(text), { code: "usage" }, text);
});

test("no operand makes a parser throw anything but a usage error", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      for (const parse of [
        parseCopyOperand,
        parseLabel,
        parseSandboxName,
        parseSandboxRef,
        parseImageRef,
        parsePackageName,
      ]) {
        try {
          parse(text);
        } catch (error) {
          assert.ok(error instanceof SbxError && error.code === "usage", String(error));
        }
      }
    }),
  );
});
