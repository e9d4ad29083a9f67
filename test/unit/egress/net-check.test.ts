/** What `sbx net check` asks the enforcement about. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { LivePolicy } from "../../../src/egress/live-policy.ts";
import { checkCall } from "../../../src/egress/net-check.ts";
import type { RequestTarget } from "../../../src/policy/spec.ts";

async function targetOf(url: string): Promise<string | undefined> {
  const asked: RequestTarget[] = [];
  await checkCall(
    { method: "get", url },
    {
      policy: new LivePolicy({ mode: "open", rules: [], expressions: [] }, () => undefined),
      decideRequest: async (target) => {
        asked.push(target);
        return { verdict: "allow", rule: null, reason: "test", fix: null };
      },
      mustRead: () => true,
      secretsFor: () => [],
      checkAddresses: async () => undefined,
    },
  );
  const [{ method, target } = {}] = asked;
  assert.equal(method, "GET");
  return target;
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

for (const [url, mustRead, carried] of [
  ["tcp://db.example:5432", false, "tunnel"],
  ["tcp://db.example:5432", true, "intercept"],
  ["https://a.example/", false, "tunnel"],
  ["https://a.example/", true, "intercept"],
  ["http://a.example/", false, "plain"],
] as const) {
  test(`${url} is carried as ${carried} where it ${mustRead ? "has to" : "need not"} be read`, async () => {
    const answer = await checkCall(
      { method: "GET", url },
      {
        policy: new LivePolicy({ mode: "open", rules: [], expressions: [] }, () => undefined),
        decideRequest: async () => ({ verdict: "allow", rule: null, reason: "test", fix: null }),
        mustRead: () => mustRead,
        secretsFor: () => ["KEY"],
        checkAddresses: async () => undefined,
      },
    );
    assert.equal(answer.carried, carried);
    assert.deepEqual(answer.secrets, carried === "tunnel" || url.startsWith("tcp") ? [] : ["KEY"]);
  });
}
