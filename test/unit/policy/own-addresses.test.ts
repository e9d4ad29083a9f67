/** The addresses of the machine itself, which are closed to its guests although they may be public. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findAddress, formatAddress } from "../../../src/policy/ip-address.ts";
import { Policy } from "../../../src/policy/policy.ts";
import { connectionTarget, policySpec } from "./policy-text.ts";

const OWN = ["93.184.216.34", "192.168.1.5", "2606:2800:220:1::1", "fe80::5", "127.0.0.1", "::1"];

function policyOf(...lines: string[]): Policy {
  return new Policy(policySpec(lines), (address) => OWN.includes(formatAddress(address)));
}

for (const [lines, address, verdict] of [
  [["open"], "93.184.216.34", "deny"],
  [["open"], "93.184.216.35", "allow"],
  [["open"], "::ffff:93.184.216.34", "deny"],
  [["open"], "64:ff9b::93.184.216.34", "deny"],
  [["open"], "2606:2800:220:1::1", "deny"],
  [["open"], "2606:2800:220:1::2", "allow"],
  [["open", "+ *.example.com"], "93.184.216.34", "deny"],
  [["open", "+ 0.0.0.0/0", "+ ::/0"], "2606:2800:220:1::1", "deny"],
  [["open", "+ 93.184.216.34:443"], "93.184.216.34", "allow"],
  [["open", "+ 93.184.216.34:22"], "93.184.216.34", "deny"],
  [["open", "+ 93.184.216.0/24"], "93.184.216.34", "deny"],
  [["open", "+ 93.184.216.34/32"], "93.184.216.34", "allow"],
  [["open", "+ 2606:2800:220:1::1"], "2606:2800:220:1::1", "allow"],
  // The machine's neighbours are not the machine.
  [["open", "+ 192.168.1.0/24"], "192.168.1.5", "deny"],
  [["open", "+ 192.168.1.0/24"], "192.168.1.6", "allow"],
  [["open", "+ 192.168.1.5"], "192.168.1.5", "allow"],
  [["open", "+ 192.168.1.5", "- 192.168.1.0/24"], "192.168.1.5", "deny"],
  // The loopback is closed as it is for everybody.
  [["open", "+ 127.0.0.0/8"], "127.0.0.1", "allow"],
  [["open"], "::1", "deny"],
] as const) {
  test(`[${lines.join(" | ")}] ${address}: ${verdict}, whether it was dialled or found behind a name`, () => {
    const policy = policyOf(...lines, "+ name.example");
    const byName = policy.decideAddress(connectionTarget("name.example:443"), address);
    assert.equal(byName.verdict, verdict, byName.reason);
    const target = { host: formatAddress(findAddress(address) ?? assert.fail("no address")), port: 443 };
    const dialled = policy.decideConnection(target);
    assert.equal(dialled.verdict, verdict, dialled.reason);
    assert.equal(policy.decideAddress(target, target.host).verdict, verdict);
    const request = { ...target, scheme: "https", method: "GET", target: "/" } as const;
    assert.equal(policy.decideRequest(request).decision.verdict, verdict);
  });
}

test("the denial says what the address is, and names it in the command that opens it", () => {
  const policy = policyOf("open");
  const { reason, fix } = policy.decideConnection(connectionTarget("93.184.216.34:22"));
  assert.deepEqual(
    [reason, fix?.at(-1)],
    ["93.184.216.34:22 is an address of this machine, which only a rule that names it opens", "93.184.216.34:22"],
  );
  assert.equal(
    policy.decideAddress(connectionTarget("me.example:22"), "93.184.216.34").reason,
    "me.example resolves to 93.184.216.34, an address of this machine",
  );
  assert.equal(policy.decideName("93.184.216.34").verdict, "deny");
});

test("host.sbx.internal stays the loopback", () => {
  const policy = policyOf("+ host.sbx.internal:80");
  assert.equal(policy.decideAddress(connectionTarget("host.sbx.internal:80"), "127.0.0.1").verdict, "allow");
  assert.equal(policy.decideAddress(connectionTarget("host.sbx.internal:80"), "93.184.216.34").verdict, "deny");
});
