/** The key `sbx` of a configuration, and lines of answers: whatever is in them, it is read or refused, and nothing else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeControlLine, parseControlLine } from "../../../src/protocol/control-lines.ts";
import { ApiError } from "../../../src/server/api-error.ts";
import { DEFAULT_QUOTAS } from "../../../src/server/config.ts";
import { parseSandboxConfig } from "../../../src/server/sandbox-config.ts";
import { configHeader } from "./harness.ts";

const NOW = 1_700_000_000_000;
const read = (sbx: unknown, more: object = {}) =>
  parseSandboxConfig(configHeader({ ...more, sbx }), DEFAULT_QUOTAS, NOW).spec;

/** Keys and values that are nearly right, so that more than the outermost check is met. */
const rule = fc.record(
  {
    verdict: fc.constantFrom("allow", "deny", "maybe"),
    pattern: fc.oneof(
      fc.string(),
      fc.domain(),
      fc.ipV4(),
      fc.ipV6(),
      fc.constantFrom("10.0.0.0/8", "*", "*.com", "[::1]:1"),
    ),
    methods: fc.option(fc.array(fc.constantFrom("GET", "get", ""))),
    paths: fc.option(fc.array(fc.oneof(fc.string(), fc.webPath()))),
  },
  { noNullPrototype: true },
);
const network = fc.record(
  {
    mode: fc.constantFrom("none", "balanced", "open", "all"),
    rules: fc.array(rule, { maxLength: 3 }),
    onLeak: fc.constantFrom("block", "report", "pass"),
    inspect: fc.boolean(),
    resolve: fc.array(fc.record({ host: fc.oneof(fc.domain(), fc.string()), port: fc.integer(), address: fc.ipV4() }), {
      maxLength: 2,
    }),
    roots: fc.array(fc.string(), { maxLength: 1 }),
  },
  { noNullPrototype: true },
);
const extension = fc.record(
  {
    name: fc.string(),
    image: fc.anything(),
    checkpoint: fc.string(),
    cpus: fc.oneof(fc.integer(), fc.double()),
    diskBytes: fc.integer(),
    lifetimeMs: fc.double(),
    volumes: fc.array(fc.record({ volume: fc.string(), path: fc.string(), access: fc.constant("read-only") })),
    network,
    secretValues: fc.dictionary(fc.string(), fc.string()),
  },
  { requiredKeys: [], noNullPrototype: true },
);

test("any value is a specification within the quotas, or one refusal", () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), extension), (value) => {
      try {
        const spec = read(value);
        assert.ok((spec.cpus ?? 1) <= DEFAULT_QUOTAS.cpus);
        assert.ok((spec.diskBytes ?? 0) <= DEFAULT_QUOTAS.maxDisk);
        assert.ok(spec.lifetime.kind === "session" || spec.lifetime.ms <= DEFAULT_QUOTAS.lifetime);
        assert.equal(spec.mounts ?? spec.copies, undefined);
        assert.equal(spec.network?.hookPath ?? null, null);
        assert.equal(spec.network?.policy.expressions.length ?? 0, 0);
      } catch (error) {
        assert.ok(error instanceof ApiError, String(error));
        assert.equal(error.code, "INVALID_CONFIG");
      }
    }),
    { numRuns: 2000, seed: 2026 },
  );
});

test("what is private is opened by no rule and no address for a name", () => {
  const none = { mode: "none", rules: [], onLeak: "block", inspect: false, resolve: [], roots: [] };
  const open = (pattern: string): unknown => ({
    network: { ...none, rules: [{ verdict: "allow", pattern, methods: null, paths: null }] },
  });
  for (const pattern of ["10.0.0.1", "169.254.169.254:80", "[::1]:80", "[fd00::1]", "192.168.0.0/16", "127.0.0.1"]) {
    assert.throws(() => read(open(pattern)), { code: "INVALID_CONFIG", message: /not a public address/ }, pattern);
  }
  const resolve = [{ host: "a.example.com", port: 443, address: "10.0.0.1" }];
  assert.throws(() => read({ network: { ...none, resolve } }), { code: "INVALID_CONFIG", message: /not a public/ });
  assert.equal(read(open("203.0.113.1:443")).network?.policy.rules.length, 1);
});

test("a disk has whole gigabytes, so that there are few kinds of machines", () => {
  assert.equal(read({ diskBytes: 1 }).diskBytes, 1_000_000_000);
  assert.equal(read({ diskBytes: 4_000_000_001 }).diskBytes, 5_000_000_000);
  assert.throws(() => read({ diskBytes: DEFAULT_QUOTAS.maxDisk + 1 }), { code: "INVALID_CONFIG" });
});

test("a line is read as it was written, and any other text is no line", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.deepEqual(parseControlLine(encodeControlLine({ item: value })), {
        item: JSON.parse(JSON.stringify(value)) as unknown,
      });
    }),
    { numRuns: 500, seed: 2026 },
  );
  for (const text of [
    "",
    "{}",
    "null",
    "[]",
    '"item"',
    '{"item":1,"end":true}',
    '{"end":false,"x":1}',
    '{"other":1}',
    "{",
  ]) {
    assert.throws(() => parseControlLine(text), Error, text);
  }
  assert.throws(() => parseControlLine('{"error":{"code":1}}'));
  assert.throws(() => parseControlLine('{"progress":{"stage":1}}'));
});
