/** `sbx net check` says of an allowed name what dialling it would. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { LivePolicy } from "../../../src/egress/live-policy.ts";
import { checkCall } from "../../../src/egress/net-check.ts";
import { createUpstream } from "../../../src/egress/upstream/create-upstream.ts";
import { formatAddress } from "../../../src/policy/ip-address.ts";
import type { CheckAnswer } from "../../../src/protocol/net-calls.ts";

const OWN = "203.0.113.80";

const ADDRESSES: Readonly<Record<string, readonly string[]>> = {
  "public.example": ["203.0.113.7"],
  "private.example": ["10.0.0.5", "fd00::5"],
  "mixed.example": ["10.0.0.5", "203.0.113.7"],
  "me.example": [OWN],
  "pinned.example": ["10.0.0.5"],
};

async function check(url: string, ...allowed: string[]): Promise<CheckAnswer> {
  const spec = { mode: "open", rules: [], expressions: [] } as const;
  const policy = new LivePolicy(
    spec,
    () => undefined,
    (address) => formatAddress(address) === OWN,
  );
  policy.change({ verdict: "allow", hosts: allowed });
  const upstream = createUpstream({
    decideAddress: (target, address) => policy.current.decideAddress(target, address),
    overrides: [{ host: "pinned.example", port: 443, address: "127.0.0.1" }],
    proxy: null,
    extraRootsPem: [],
    lookup: async (name) => ADDRESSES[name] ?? Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" })),
  });
  return checkCall(
    { method: "GET", url },
    {
      policy,
      decideRequest: async (target) => policy.current.decideRequest(target).decision,
      mustRead: () => false,
      secretsFor: () => [],
      checkAddresses: (target, signal) => upstream.check(target, signal),
    },
  );
}

for (const [url, address, fix] of [
  ["https://private.example/", "10.0.0.5, a private address", "10.0.0.5:443"],
  ["http://private.example/", "10.0.0.5, a private address", "10.0.0.5:80"],
  ["tcp://private.example:5432", "10.0.0.5, a private address", "10.0.0.5:5432"],
  ["https://me.example/", `${OWN}, an address of this machine`, `${OWN}:443`],
] as const) {
  test(`${url} is denied because of its address, and the fix names that`, async () => {
    const { decision, carried } = await check(url);
    assert.equal(decision.verdict, "deny");
    assert.equal(decision.reason, `${new URL(url).hostname} resolves to ${address}`);
    assert.deepEqual(decision.fix, ["net", "allow", "SANDBOX", fix]);
    assert.equal(carried, null);
    assert.equal((await check(url, fix)).decision.verdict, "allow");
  });
}

for (const [url, carried] of [
  ["https://public.example/", "tunnel"],
  ["https://mixed.example/", "tunnel"],
  ["https://pinned.example/", "tunnel"],
  ["tcp://public.example:5432", "tunnel"],
  ["http://203.0.113.7/", "plain"],
] as const) {
  test(`${url} is allowed: it has an address that may be dialled`, async () => {
    const answer = await check(url);
    assert.deepEqual([answer.decision.verdict, answer.carried], ["allow", carried]);
  });
}

test("this machine's own addresses are denied as they are where they are dialled", async () => {
  const { decision } = await check(`https://${OWN}/`);
  assert.equal(decision.reason, `${OWN}:443 is an address of this machine, which only a rule that names it opens`);
});

test("host.sbx.internal is allowed by its rule, and its loopback with it", async () => {
  assert.equal((await check("http://host.sbx.internal:8080/")).decision.verdict, "deny");
  assert.equal((await check("http://host.sbx.internal:8080/", "host.sbx.internal:8080")).decision.verdict, "allow");
});

test("a name that does not resolve is no denial, and the reason says so", async () => {
  const { decision } = await check("https://nowhere.example/");
  assert.equal(decision.verdict, "allow");
  assert.match(decision.reason, /, but nowhere\.example has no address$/);
});
