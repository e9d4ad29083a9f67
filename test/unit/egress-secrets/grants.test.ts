import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { createSecrets } from "../../../src/egress/secrets/create-secrets.ts";
import { isPlaceholder, newPlaceholder } from "../../../src/egress/secrets/placeholder.ts";
import type { SecretHost } from "../../../src/policy/spec.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { openSandbox, PLAIN_VALUE, request, response } from "./sandbox-secrets.ts";

test("a placeholder is the fixed prefix and 64 lower-case hexadecimal digits, and no two are alike", () => {
  const made = new Set(Array.from({ length: 100 }, newPlaceholder));
  assert.equal(made.size, 100);
  for (const placeholder of made) {
    assert.match(placeholder, /^DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}$/);
    assert.ok(isPlaceholder(placeholder));
  }
  assert.ok(!isPlaceholder(newPlaceholder().toUpperCase()));
});

test("each secret has its own placeholder for the sandbox's whole life", () => {
  const { secrets } = openSandbox({ more: ["second"] });
  const before = secrets.grants.map(({ placeholder }) => placeholder);
  secrets.setValue("KEY", "another-value-1234");
  assert.deepEqual(
    secrets.grants.map(({ placeholder }) => placeholder),
    before,
  );
  assert.equal(new Set(before).size, 2);
});

test("a connection concerns secrets by host and port, whatever its scheme", () => {
  const hosts: SecretHost[] = [
    { host: "api.example.com", port: 8443, scheme: "https" },
    { host: "*.example.net", port: null, scheme: "http" },
  ];
  const { secrets } = openSandbox({ hosts });
  const cases: [host: string, port: number, concerned: boolean][] = [
    ["api.example.com", 8443, true],
    ["api.example.com", 443, false],
    ["www.api.example.com", 8443, false],
    ["a.example.net", 1, true],
    ["a.b.example.net", 443, true],
    ["example.net", 443, false],
    ["example.net.example.org", 443, false],
    ["badexample.net", 443, false],
  ];
  for (const [host, port, concerned] of cases) {
    assert.equal(secrets.concerns({ host, port }), concerned, `${host}:${port}`);
  }
});

test("a value that cannot be kept safe is refused, and the message does not say it", () => {
  const { secrets, placeholder } = openSandbox();
  const wrong = {
    abc: /fewer than 4 bytes/,
    "": /fewer than 4 bytes/,
    "line-one\nline-two": /line break/,
    "line-one\r\nX-Other: 1": /line break/,
    "with-a-tab\there": /control character/,
    "with-a-nul\0here": /control character/,
    "with-a-del\u007fhere": /control character/,
    "half-\ud800-pair": /well-formed/,
    [`x${placeholder}`]: /looks like a placeholder/,
    SECRET_PLACEHOLDER: /looks like a placeholder/,
    ["v".repeat(16 * 1024 + 1)]: /more than 16384 bytes/,
  };
  for (const [value, message] of Object.entries(wrong)) {
    assert.throws(
      () => secrets.setValue("KEY", value),
      (error: unknown) => {
        assert.ok(error instanceof SbxError);
        assert.equal(error.code, "usage");
        assert.match(error.message, message);
        if (value.length > 3) assert.ok(!`${error.message} ${String(error.hint)}`.includes(value));
        return true;
      },
      JSON.stringify(value.slice(0, 30)),
    );
  }
  assert.throws(() => secrets.setValue("OTHER", "long-enough-value"), /no secret "OTHER"/);
});

test("no value is in what printing or serialising any of the objects gives", () => {
  const { secrets, placeholder } = openSandbox();
  const head = request({ fields: [["x-key", placeholder]] });
  const outgoing = secrets.openRequest(head);
  const incoming = secrets.openResponse(head, response([["x-echo", PLAIN_VALUE]]));
  assert.ok(JSON.stringify(outgoing.head).includes(PLAIN_VALUE), "the head has the value");
  for (const object of [secrets, outgoing, incoming, outgoing.body(), incoming.body()]) {
    const shown = inspect(object, { depth: 20, showHidden: true });
    assert.ok(!shown.includes(PLAIN_VALUE), shown.slice(0, 200));
    assert.ok(!JSON.stringify(object).includes(PLAIN_VALUE));
  }
  assert.equal(JSON.stringify(secrets), '{"secrets":["KEY"]}');
  assert.equal(inspect(secrets), "Secrets { KEY }");
});

test("a sandbox without secrets leaves everything as it is", () => {
  const secrets = createSecrets({ grants: [], onLeak: "block", report: () => assert.fail() });
  const head = request({
    fields: [
      ["accept-encoding", "made-up"],
      ["range", "bytes=0-1"],
      ["content-length", "3"],
    ],
  });
  const outgoing = secrets.openRequest(head);
  assert.equal(outgoing.head, head);
  assert.equal(outgoing.body(), null);
  const answer = response([["content-encoding", "made-up"]]);
  const incoming = secrets.openResponse(head, answer);
  assert.equal(incoming.head, answer);
  assert.equal(incoming.body(), null);
  assert.equal(secrets.scrubText("text"), "text");
  assert.ok(!secrets.concerns({ host: "api.example.com", port: 443 }));
});
