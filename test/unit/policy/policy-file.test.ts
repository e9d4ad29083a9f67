/** Policy files: what they say, and that a file which is not wholly understood is refused with its line. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_POLICY_FILE_LENGTH, parsePolicyFile } from "../../../src/policy/policy-file.ts";
import { renderRule, renderSource } from "../../../src/policy/render.ts";
import { SbxError } from "../../../src/runtime/errors.ts";

const parse = (text: string) => parsePolicyFile(text, "policy.yaml");

const WHOLE = `# what the agent may reach
version: 1
net: balanced
allow:
  - api.example.com:443
  - "*.example.com"
  - host: api.example.org
    ports: 443
    methods: [get, HEAD]
    paths:
      - /v1/**
      - /health
  - { host: "[fd00::1]", ports: [80, "8000-8010"] }
deny:
  - "*"
  - host: secret.example.com
    methods: [POST]
rules:
  - r.method === "GET" && r.host.endsWith(".example.com")
  - |
    r.path.startsWith("/public/") &&
    r.method === "HEAD"
`;

test("a file says the mode, rules with their lines, and rules in JavaScript", () => {
  const file = parse(WHOLE);
  assert.equal(file.net, "balanced");
  assert.deepEqual(
    file.rules.map((rule) => `${renderRule(rule)} (${renderSource(rule.source)})`),
    [
      "allow api.example.com:443 (policy.yaml:5)",
      "allow *.example.com (policy.yaml:6)",
      "allow api.example.org:443 GET,HEAD /v1/**,/health (policy.yaml:7)",
      "allow [fd00::1]:80,8000-8010 (policy.yaml:13)",
      "deny * (policy.yaml:15)",
      "deny secret.example.com POST (policy.yaml:16)",
    ],
  );
  assert.deepEqual(
    file.expressions.map(({ text, source }) => [text, renderSource(source)]),
    [
      ['r.method === "GET" && r.host.endsWith(".example.com")', "policy.yaml:19"],
      ['r.path.startsWith("/public/") &&\nr.method === "HEAD"\n', "policy.yaml:20"],
    ],
  );
});

test("a file may say nothing but its version, and an empty list is an empty list", () => {
  assert.deepEqual(parse("version: 1"), { net: null, rules: [], expressions: [] });
  assert.deepEqual(parse("version: 1\nnet: none\nallow: []\n"), { net: "none", rules: [], expressions: [] });
});

describe("refused, with path and line", () => {
  /** Text, line, message, hint. */
  const cases: readonly (readonly [string, number, RegExp, RegExp?])[] = [
    ["", 1, /a mapping with version: 1 is expected/],
    ["# nothing\n", 1, /a mapping with version: 1 is expected/],
    ["- a.test", 1, /a mapping with version: 1 is expected/],
    ["allow: []", 1, /one of 1 is expected in version/],
    ["version: 2", 1, /one of 1 is expected in version/],
    ["version: '1'", 1, /one of 1 is expected in version/],
    ["version: 1\nnet: closed", 2, /one of none, balanced, open is expected in net/],
    ["version: 1\nnet: no", 2, /one of none, balanced, open/],
    ["version: 1\n\nalow: []", 3, /"alow" is not known/, /keys are version, net, allow/],
    ["version: 1\n__proto__: { net: open }", 2, /"__proto__" is not known/],
    ["version: 1\nconstructor: 1", 2, /"constructor" is not known/],
    ["version: 1\nallow:\n", 2, /a list is expected in allow/, /write \[\] for an empty list/],
    ["version: 1\nallow: a.test", 2, /a list is expected in allow/],
    ["version: 1\nallow: { host: a.test }", 2, /a list is expected in allow/],
    ["version: 1\nallow:\n  - 443", 3, /a value of the wrong type in allow\[0\]/],
    ["version: 1\nallow:\n  - [a.test]", 3, /a value is missing in allow\[0\]\.host|wrong type in allow\[0\]/],
    ["version: 1\nallow:\n  - null", 3, /wrong type in allow\[0\]/],
    ["version: 1\nallow:\n  - ports: 443", 3, /a value is missing in allow\[0\]\.host/],
    ["version: 1\nallow:\n  - host: a.test\n    port: 443", 4, /"port" is not known in allow\[0\]/],
    ["version: 1\nallow:\n  - host: a.test\n    ports: true", 4, /wrong type in allow\[0\]\.ports/],
    ["version: 1\nallow:\n  - host: a.test\n    ports: []", 4, /in allow\[0\]\.ports/],
    ["version: 1\nallow:\n  - host: a.test\n    ports: 0", 3, /"0" is not a list of ports/],
    ["version: 1\nallow:\n  - host: a.test\n    ports: 1.5", 4, /in allow\[0\]\.ports/],
    ["version: 1\nallow:\n  - host: a.test:80\n    ports: 80", 3, /"a\.test:80" has a port/],
    ["version: 1\nallow:\n  - host: a.test\n    methods: []", 4, /leave methods away for every method/],
    ["version: 1\nallow:\n  - host: a.test\n    methods: GET", 4, /a list is expected in allow\[0\]\.methods/],
    ["version: 1\nallow:\n  - host: a.test\n    methods: ['GE T']", 3, /"GE T" is not an HTTP method/],
    ["version: 1\nallow:\n  - host: a.test\n    paths: []", 4, /leave paths away for every path/],
    ["version: 1\nallow:\n  - host: a.test\n    paths: [v1]", 3, /"v1" is not a path pattern/],
    ["version: 1\nallow:\n  - a.test\n  - b test", 4, /"b test" is not a host pattern/],
    ["version: 1\nallow:\n  - https://a.test/v1", 3, /it is a URL/, /a\.test:443/],
    ["version: 1\nallow:\n  - '*'", 3, /every host/, /--net open/],
    ["version: 1\nallow:\n  - '*.com'", 3, /top-level domain/],
    ["version: 1\nallow:\n  - 127.1", 3, /a value of the wrong type/],
    ["version: 1\nallow:\n  - '127.1'", 3, /four decimal numbers/],
    ["version: 1\nrules: r.host === 'a'", 2, /a list is expected in rules/],
    ["version: 1\nrules:\n  - true", 3, /a string is expected in rules\[0\]/],
    ["version: 1\nrules:\n  - ''", 3, /empty/],
    ["version: 1\nrules:\n  - r.host ===", 3, /not a JavaScript expression/],
    // YAML's own traps.
    ["version: 1\nallow:\n  - *.example.com", 3, /\*\.example\.com is an alias/, /"\*\.example\.com"/],
    ["version: 1\nallow:\n  - [::1]:443", 3, /Unexpected scalar/, /quote what begins with \* or \[/],
    ["version: 1\nallow:\n  - [::1]: 443", 3, /a key is not a text/, /quote/],
    ["version: 1\nnet: none\nnet: open", 3, /the key is there twice/],
    ["version: 1\nallow:\n  - host: a.test\n    host: b.test", 4, /the key is there twice/],
    ["version: 1\nallow: &hosts [a.test]\ndeny: *hosts", 2, /anchors/],
    ["version: 1\nallow: [a.test]\ndeny: *hosts", 3, /an alias/],
    ["version: 1\n<<: { net: open }", 2, /"<<" is not known/],
    ["version: 1\nallow:\n  - !!binary YS50ZXN0", 3, /tags/],
    ["version: 1\nallow: !custom [a.test]", 2, /tags/],
    ["version: 1\n---\nversion: 1", 2, /one document/],
    ["version: 1\n\tnet: open", 2, /./],
    ["version: 1\nallow: [a.test", 2, /./],
    ["version: 1\nallow: 'a.test", 2, /./],
    ["%TAG ! tag:example.test,2000:\n---\nversion: 1\nnet: !x open", 4, /tags/],
  ];
  for (const [text, line, message, hint] of cases) {
    test(JSON.stringify(text.slice(0, 70)), () => {
      assert.throws(
        () => parse(text),
        (error) => {
          assert.ok(error instanceof SbxError, String(error));
          assert.deepEqual([error.code, error.exitCode], ["config_invalid", 2]);
          assert.equal(/^policy\.yaml:(\d+): /.exec(error.message)?.[1], String(line), error.message);
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /\n/);
          if (hint !== undefined) assert.match(error.hint ?? "", hint);
          return true;
        },
      );
    });
  }

  const hostile: readonly (readonly [string, string])[] = [
    ["a huge file", `version: 1 #${"x".repeat(MAX_POLICY_FILE_LENGTH)}`],
    ["deep nesting", `version: 1\nallow: ${"[".repeat(200_000)}`],
    ["deep block nesting", `version: 1\nallow:\n${"- ".repeat(100_000)}a`],
    [
      "a billion laughs",
      [
        "a: &a [x]",
        ...Array.from("bcdefghij", (c, at) => `${c}: &${c} [${`*${"abcdefghi"[at] ?? ""},`.repeat(9)}]`),
      ].join("\n"),
    ],
    ["too many rules", `version: 1\nallow:\n${"- a.test\n".repeat(5001)}`],
    ["a long rule in JavaScript", `version: 1\nrules:\n  - "${"x".repeat(10_000)}"`],
    ["control characters", 'version: 1\nallow: ["a\\0.test", "\\e[2J"]'],
  ];
  for (const [title, text] of hostile) {
    test(title, () => {
      assert.throws(
        () => parse(text),
        (error) => error instanceof SbxError && error.code === "config_invalid",
      );
    });
  }
});
