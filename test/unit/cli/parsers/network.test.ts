/** Options about the network: what they mean, and that what might be a secret's value is never repeated. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCheckTarget } from "../../../../src/cli/parsers/check-target.ts";
import { splitPatterns } from "../../../../src/cli/parsers/pattern-list.ts";
import { parseResolveOverride } from "../../../../src/cli/parsers/resolve-override.ts";
import { parseSecretName, parseSecretRequests } from "../../../../src/cli/parsers/secret-request.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";

test("patterns are split at commas, but not between ports", () => {
  assert.deepEqual(splitPatterns("a.example"), ["a.example"]);
  assert.deepEqual(splitPatterns("a.example,b.example:443"), ["a.example", "b.example:443"]);
  assert.deepEqual(splitPatterns("a.example:80,443,b.example:8000-8010,9000"), [
    "a.example:80,443",
    "b.example:8000-8010,9000",
  ]);
  assert.deepEqual(splitPatterns("[fd00::1]:80,443,10.0.0.0/8"), ["[fd00::1]:80,443", "10.0.0.0/8"]);
  assert.deepEqual(splitPatterns("a.example,"), ["a.example", ""]);
});

test("a secret is asked for by its name and its hosts", () => {
  const https = { port: null, scheme: "https" };
  assert.deepEqual(parseSecretRequests(["A@api.example.com"]), [
    { name: "A", hosts: [{ host: "api.example.com", ...https }] },
  ]);
  assert.deepEqual(parseSecretRequests(["A@a.example,*.b.example:8443", "A@a.example,http://c.example"]), [
    {
      name: "A",
      hosts: [
        { host: "a.example", ...https },
        { host: "*.b.example", port: 8443, scheme: "https" },
        { host: "c.example", port: 80, scheme: "http" },
      ],
    },
  ]);
  assert.deepEqual(parseSecretRequests(["A", "A@a.example", "B@b.example"]), [
    { name: "A", hosts: null },
    { name: "B", hosts: [{ host: "b.example", ...https }] },
  ]);
});

test("a value on the command line is refused with the reason, and nothing of it is repeated", () => {
  for (const text of [
    "KEY=canary@a.example",
    "KEY=canary",
    "=canary@a.example",
    "canary-x@a.example",
    "canary value",
  ]) {
    assert.throws(
      () => parseSecretRequests([text]),
      (error: unknown) => {
        assert.ok(error instanceof SbxError && error.code === "usage");
        assert.ok(!`${error.message} ${error.hint}`.includes("canary"), text);
        return true;
      },
    );
  }
  assert.throws(() => parseSecretName("KEY=canary"), {
    message:
      "the value of KEY does not belong on a command line: every process here can read that, and the shell keeps it",
    hint: "sbx secret set KEY --host HOST (it asks for the value), then --secret KEY@HOST",
  });
});

test("a secret without a good host is refused", () => {
  for (const text of ["A@", "A@*", "A@10.0.0.0/8", "A@a.example,", "A@a.example:80,443"]) {
    assert.throws(() => parseSecretRequests([text]), { code: "usage" }, text);
  }
});

test("an override names a host, a port and an address, which may be IPv6", () => {
  assert.deepEqual(parseResolveOverride("API.example.com:443:127.0.0.1"), {
    host: "api.example.com",
    port: 443,
    address: "127.0.0.1",
  });
  assert.deepEqual(parseResolveOverride("a.example:80:[::1]"), { host: "a.example", port: 80, address: "::1" });
  assert.deepEqual(parseResolveOverride("a.example:80:fd00:0::1"), { host: "a.example", port: 80, address: "fd00::1" });
  assert.deepEqual(parseResolveOverride("[fd00::2]:80:127.0.0.1").host, "fd00::2");
  for (const text of ["", "a.example", "a.example:443", "a.example:0:127.0.0.1", "a.example:70000:127.0.0.1"]) {
    assert.throws(() => parseResolveOverride(text), { code: "usage" }, text);
  }
  assert.throws(() => parseResolveOverride("a.example:443:b.example"), {
    message: `"a.example:443:b.example" has no address at its end`,
    hint: "write HOST:PORT:ADDRESS, such as api.example.com:443:127.0.0.1",
  });
});

test("a check is about a request, or about a connection where there is a port and no scheme", () => {
  const cases: [string[], ReturnType<typeof parseCheckTarget>][] = [
    [["https://a.example/x"], { method: "GET", url: "https://a.example/x", text: "GET https://a.example/x" }],
    [["post", "http://a.example"], { method: "POST", url: "http://a.example", text: "POST http://a.example" }],
    [["a.example"], { method: "GET", url: "https://a.example", text: "GET https://a.example" }],
    [["a.example/v1"], { method: "GET", url: "https://a.example/v1", text: "GET https://a.example/v1" }],
    [["a.example:5432"], { method: "GET", url: "tcp://a.example:5432", text: "a.example:5432" }],
    [["[fd00::1]:22"], { method: "GET", url: "tcp://[fd00::1]:22", text: "[fd00::1]:22" }],
    // What a parser would make of such a path is for the enforcement to say.
    [
      ["https://a.example/x/../y"],
      { method: "GET", url: "https://a.example/x/../y", text: "GET https://a.example/x/../y" },
    ],
  ];
  for (const [words, target] of cases) assert.deepEqual(parseCheckTarget(words), target);
  for (const words of [
    [],
    ["GET", "https://a.example", "more"],
    ["G T", "https://a.example"],
    ["GET", "a.example:22"],
  ]) {
    assert.throws(() => parseCheckTarget(words), { code: "usage" });
  }
  assert.throws(() => parseCheckTarget(["ftp://a.example"]), { message: `"ftp://a.example" is not a URL` });
});
