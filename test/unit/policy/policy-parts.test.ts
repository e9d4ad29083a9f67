/** How policies are put together and shown: presets, ids, warnings, texts; and the hosts of secrets. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { buildPolicy, draftRule, extendPolicy } from "../../../src/policy/build-policy.ts";
import { Policy } from "../../../src/policy/policy.ts";
import { presetGroups, presetRules } from "../../../src/policy/presets.ts";
import { renderFix, renderRule, renderSource } from "../../../src/policy/render.ts";
import { parseSecretHost, renderSecretHost } from "../../../src/policy/secret-host.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { policyOf } from "./policy-text.ts";

const OPTION = { kind: "option", option: "--allow-net" } as const;

describe("presets", () => {
  test("balanced allows its hosts over HTTPS, and the registries that it is told of", () => {
    const registries = [
      { tool: "npm", host: "registry.example" },
      { tool: "apt", host: "mirror.example:80" },
      { tool: "apt", host: "mirror.example:80" },
    ];
    const rules = presetRules("balanced", { registries });
    const policy = new Policy(buildPolicy({ mode: "balanced", rules, expressions: [] }));
    const verdict = (host: string, port: number) => policy.decideConnection({ host, port }).verdict;
    assert.equal(verdict("github.com", 443), "allow");
    assert.equal(verdict("raw.githubusercontent.com", 443), "allow");
    assert.equal(verdict("api.openai.com", 443), "allow");
    assert.equal(verdict("github.com", 22), "deny");
    assert.equal(verdict("registry.example", 443), "allow");
    assert.equal(verdict("mirror.example", 80), "allow");
    assert.equal(verdict("mirror.example", 443), "deny");
    assert.equal(verdict("example.com", 443), "deny");
    assert.equal(rules.filter(({ host }) => host === "mirror.example").length, 1);
    assert.ok(rules.every(({ source }) => renderSource(source) === "preset balanced"));
    assert.ok(policy.describe().every(({ warning }) => warning === null));
  });

  test("the list can be printed by subject", () => {
    const groups = presetGroups("balanced", { registries: [{ tool: "npm", host: "registry.example" }] });
    assert.deepEqual(
      groups.map(({ title }) => title),
      ["code hosting", "AI services", "documentation", "packages for npm"],
    );
    assert.deepEqual(groups.at(-1)?.hosts, ["registry.example"]);
  });

  test("none and open have no list", () => {
    for (const mode of ["none", "open"] as const) {
      assert.deepEqual(presetRules(mode, { registries: [{ tool: "npm", host: "registry.example" }] }), []);
      assert.deepEqual(presetGroups(mode), []);
    }
  });

  test("a registry that is no host is refused", () => {
    assert.throws(() => presetRules("balanced", { registries: [{ tool: "npm", host: "*" }] }), SbxError);
  });
});

describe("ids", () => {
  test("rules that are added later have ids of their own, and the others keep theirs", () => {
    const first = buildPolicy({ mode: "none", rules: [draftRule("allow", "a.test", OPTION)], expressions: [] });
    const gap = { ...first, rules: first.rules.map((rule) => ({ ...rule, id: "r7" })) };
    const more = extendPolicy(gap, [draftRule("deny", "b.test:80", { kind: "command", at: 0 })]);
    assert.deepEqual(
      more.rules.map((rule) => `${rule.id} ${renderRule(rule)}`),
      ["r7 allow a.test", "r8 deny b.test:80"],
    );
    assert.equal(gap.rules.length, 1);
  });
});

describe("texts", () => {
  test("each source has one", () => {
    assert.deepEqual(
      [
        renderSource({ kind: "default" }),
        renderSource({ kind: "preset", name: "balanced" }),
        renderSource({ kind: "option", option: "--deny-net" }),
        renderSource({ kind: "file", path: "policy.yaml", line: 3 }),
        renderSource({ kind: "command", at: Date.UTC(2026, 0, 2, 3, 4, 5, 678) }),
        renderSource({ kind: "api" }),
      ],
      ["default", "preset balanced", "--deny-net", "policy.yaml:3", "command of 2026-01-02T03:04:05Z", "API"],
    );
  });

  test("a fix is a command with the sandbox's name where it is known", () => {
    const fix = ["net", "allow", "SANDBOX", "a.test:443"];
    assert.equal(renderFix(fix), "sbx net allow SANDBOX a.test:443");
    assert.equal(renderFix(fix, "box"), "sbx net allow box a.test:443");
  });
});

describe("warnings", () => {
  /** Lines of a policy, and the warnings of its rules in order. */
  const cases: readonly (readonly [readonly string[], readonly (RegExp | null)[]])[] = [
    [
      ["+ a.test", "+ b.test"],
      [null, null],
    ],
    [
      ["+ a.test:443", "- *.test"],
      [/no effect: r2 denies all of it \(deny \*\.test\)/, null],
    ],
    [
      ["+ *.a.test", "- *.test"],
      [/no effect: r2/, null],
    ],
    [
      ["+ *.a.test", "- *.a.test:443"],
      [null, null],
    ],
    [
      ["+ *.a.test", "- a.test"],
      [null, null],
    ],
    [
      ["+ a.test:443", "- *:1-1000"],
      [/no effect: r2/, null],
    ],
    [
      ["+ a.test", "- *:1-65535"],
      [/no effect: r2/, null],
    ],
    [
      ["+ 10.0.0.5", "- 10.0.0.0/8"],
      [/no effect: r2/, null],
    ],
    [
      ["+ 10.0.0.0/8", "- 10.0.0.5"],
      [null, null],
    ],
    [
      ["+ a.test", "- a.test * /x"],
      [null, null],
    ],
    [
      ["+ a.test GET /x", "- a.test GET"],
      [/no effect: r2/, null],
    ],
    [
      ["+ a.test", "+ a.test"],
      [null, /adds nothing to r1 \(allow a\.test\)/],
    ],
    [
      ["+ a.test:443", "+ a.test"],
      [/adds nothing to r2/, null],
    ],
    [
      ["+ a.test GET", "+ a.test GET,POST"],
      [/adds nothing to r2/, null],
    ],
    [
      ["+ a.test * /x", "+ a.test * /x,/y"],
      [/adds nothing to r2/, null],
    ],
    [
      ["- a.test", "- *.test", "- *"],
      [/adds nothing to r3/, /adds nothing to r3/, null],
    ],
    [["+ 0.0.0.0/0"], [/opens public addresses only/]],
    [
      ["+ 0.0.0.0/0", "+ 10.0.0.5"],
      [/opens public addresses only/, null],
    ],
    [
      ["+ 10.0.0.0/8", "+ 10.0.0.5"],
      [null, /adds nothing to r1/],
    ],
    [["+ fd00::/8"], [/opens public addresses only/]],
  ];
  for (const [lines, warnings] of cases) {
    test(lines.join(" | "), () => {
      const rows = policyOf(...lines).describe();
      assert.equal(rows.length, warnings.length);
      for (const [at, expected] of warnings.entries()) {
        if (expected === null) assert.equal(rows[at]?.warning, null);
        else assert.match(rows[at]?.warning ?? "", expected);
      }
    });
  }

  test("a policy of thousands of rules is shown with its warnings", () => {
    const lines = Array.from({ length: 10_000 }, (_, at) => `+ h${at % 9999}.example.com`);
    assert.equal(
      policyOf(...lines)
        .describe()
        .at(-1)?.warning,
      "adds nothing to r1 (allow h0.example.com)",
    );
  });
});

test("a row has the rule as it is written, its source, and a rule in JavaScript on one line", () => {
  const rows = policyOf("+ *.example.com:443 GET,HEAD /v1/**", "js r.host ===\n  'a.test'").describe();
  assert.deepEqual(rows, [
    {
      id: "r1",
      verdict: "allow",
      text: "*.example.com:443 GET,HEAD /v1/**",
      kind: "host",
      source: OPTION,
      warning: null,
    },
    {
      id: "e1",
      verdict: "allow",
      text: "r.host === 'a.test'",
      kind: "expression",
      source: { kind: "option", option: "--rule" },
      warning: null,
    },
  ]);
});

describe("hosts of secrets", () => {
  const accepted: readonly (readonly [string, string, number | null, "http" | "https"])[] = [
    ["api.example.com", "api.example.com", null, "https"],
    ["API.example.com.", "api.example.com", null, "https"],
    ["*.example.com", "*.example.com", null, "https"],
    ["*.example.com:8443", "*.example.com", 8443, "https"],
    ["https://api.example.com", "api.example.com", 443, "https"],
    ["https://api.example.com/", "api.example.com", 443, "https"],
    ["https://api.example.com:8443", "api.example.com", 8443, "https"],
    ["http://api.example.com", "api.example.com", 80, "http"],
    ["HTTP://api.example.com:8080", "api.example.com", 8080, "http"],
    ["http://host.sbx.internal:8080", "host.sbx.internal", 8080, "http"],
    ["10.0.0.5:443", "10.0.0.5", 443, "https"],
    ["[fd00::1]:443", "fd00::1", 443, "https"],
    ["https://[fd00::1]", "fd00::1", 443, "https"],
    ["fd00::1", "fd00::1", null, "https"],
    ["bücher.example", "xn--bcher-kva.example", null, "https"],
  ];
  for (const [text, host, port, scheme] of accepted) {
    test(text, () => {
      const parsed = parseSecretHost(text);
      assert.deepEqual(parsed, { host, port, scheme });
      assert.deepEqual(parseSecretHost(renderSecretHost(parsed)), parsed);
    });
  }

  const refused = [
    ...["", "*", "https://*", "*:443", "*.com", "10.0.0.0/8", "fd00::/8", "[fd00::/8]:443", "0.0.0.0/0", "0x7f.1"],
    ...["api.example.com:80,443", "api.example.com:80-90", "ftp://api.example.com", "https://api.example.com/v1"],
    ...["https://user:pass@api.example.com", "https://api.example.com?x", "https://", "host.sbx.internal", "localhost"],
    ...["a b", "http://https://a.test", "://a.test"],
  ];
  for (const text of refused) {
    test(`${JSON.stringify(text)} is a usage error`, () => {
      assert.throws(
        () => parseSecretHost(text),
        (error) => error instanceof SbxError && error.exitCode === 2,
      );
    });
  }
});
