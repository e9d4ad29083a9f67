/** What `sbx net check` asks the enforcement about. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { LivePolicy } from "../../../src/egress/live-policy.ts";
import { checkCall } from "../../../src/egress/net-check.ts";
import type { RequestTarget } from "../../../src/policy/spec.ts";

async function targetOf(url: string): Promise<string | undefined> {
  let asked: RequestTarget | undefined;
  await checkCall(
    { method: "get", url },
    {
      policy: new LivePolicy({ mode: "open", rules: [], expressions: [] }, () => undefined),
      decideRequest: async (target) => {
        asked = target;
        return { verdict: "allow", rule: null, reason: "test", fix: null };
      },
      mustRead: () => true,
      secretsFor: () => [],
      checkAddresses: async () => undefined,
    },
  );
  assert.equal(asked?.method, "GET");
  return asked?.target;
}

for (const [url, target] of [
  ["https://a.example", "/"],
  ["https://a.example?q=1#part", "/?q=1"],
  ["https://a.example:8443/v1/%61dmin//x?a=/../b", "/v1/%61dmin//x?a=/../b"],
  ["https://a.example/drafts/../x", "/drafts/../x"],
  ["https://a.example/drafts/%2e%2e/x", "/drafts/%2e%2e/x"],
  ["HTTPS://A.example/a b/ü", "/a%20b/%C3%BC"],
  [" https://[2606:4700::1]/x ", "/x"],
  ["https:/a.example/x", "/x"],
] as const) {
  test(`the path of ${JSON.stringify(url)} is judged as it was written`, async () => {
    assert.equal(await targetOf(url), target);
  });
}

for (const url of [
  "a.example",
  "ftp://a.example/",
  "https://user@a.example/",
  "https://a.example:99999/",
  "https://a_*b/",
]) {
  test(`${url} cannot be checked`, async () => {
    await assert.rejects(targetOf(url), { code: "usage" });
  });
}
