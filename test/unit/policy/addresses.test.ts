/** The address that a name turns out to have: what may be dialled, whatever the resolver says. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connectionTarget, policyOf } from "./policy-text.ts";

type Case = readonly [policy: readonly string[], target: string, address: string, verdict: "allow" | "deny"];

const BY_NAME = ["+ db.example.com:5432", "+ *.example.com"];

const CASES: readonly Case[] = [
  [BY_NAME, "db.example.com:5432", "93.184.216.34", "allow"],
  [BY_NAME, "db.example.com:5432", "2606:2800:220:1::1", "allow"],
  [BY_NAME, "db.example.com:5432", "64:ff9b::8.8.8.8", "allow"],
  // A name does not open them, also where the name's rule is exact: the name's owner chooses the address.
  ...[
    ...["127.0.0.1", "10.0.0.5", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"],
    ...["255.255.255.255", "198.18.0.1", "198.19.0.1", "::1", "::", "fe80::1", "fd00::1", "ff02::1"],
    ...["::ffff:127.0.0.1", "::ffff:10.0.0.5", "::ffff:a9fe:a9fe", "64:ff9b::10.0.0.5", "64:ff9b::7f00:1"],
    ...["2002:a00:5::1", "2001::a00:5", "fd00:ec2::254", "168.63.129.16", "100.100.100.200"],
    ...["not an address", "", "10.0.0", "0x7f.1", "2130706433", "fe80::1%eth0", "[::1]", "example.com", "127.0.0.1/8"],
  ].map((address): Case => [BY_NAME, "db.example.com:5432", address, "deny"]),
  [["open"], "rebound.test:80", "127.0.0.1", "deny"],
  [["open"], "rebound.test:80", "93.184.216.34", "allow"],
  // A rule that names the address opens it, on its port.
  [[...BY_NAME, "+ 10.0.0.5:5432"], "db.example.com:5432", "10.0.0.5", "allow"],
  [[...BY_NAME, "+ 10.0.0.5:5432"], "db.example.com:5432", "::ffff:10.0.0.5", "allow"],
  [[...BY_NAME, "+ 10.0.0.5:5432"], "db.example.com:5433", "10.0.0.5", "deny"],
  [[...BY_NAME, "+ 10.0.0.5:5432"], "db.example.com:5432", "10.0.0.6", "deny"],
  [[...BY_NAME, "+ 10.0.0.5:5432"], "db.example.com:5432", "64:ff9b::10.0.0.5", "deny"],
  [[...BY_NAME, "+ 10.0.0.0/8"], "db.example.com:5432", "10.9.9.9", "allow"],
  [[...BY_NAME, "+ 0.0.0.0/0"], "db.example.com:5432", "10.9.9.9", "deny"],
  [[...BY_NAME, "+ 127.0.0.1:5432"], "db.example.com:5432", "127.0.0.1", "allow"],
  [[...BY_NAME, "+ 10.0.0.0/8", "- 10.0.0.5"], "db.example.com:5432", "10.0.0.5", "deny"],
  // A rule about requests to the address is not one about a name.
  [[...BY_NAME, "+ 10.0.0.5:5432 GET"], "db.example.com:5432", "10.0.0.5", "deny"],
  [["+ 10.0.0.5:5432 GET"], "10.0.0.5:5432", "10.0.0.5", "allow"],
  [["open", "- 8.8.8.8 POST"], "dns.example:443", "8.8.8.8", "deny"],
  [["open", "- 8.8.8.8 POST"], "8.8.8.8:443", "8.8.8.8", "allow"],
  // Denied addresses are denied behind any name.
  [["open", "- 93.184.0.0/16"], "example.com:443", "93.184.216.34", "deny"],
  [["open", "- 93.184.0.0/16:80"], "example.com:443", "93.184.216.34", "allow"],
  [["open", "- 93.184.0.0/16"], "example.com:443", "64:ff9b::93.184.216.34", "deny"],
  [["+ example.com", "- 93.184.216.34"], "example.com:443", "93.184.216.34", "deny"],
  // Where the guest dialled an address, the same holds.
  [["open"], "93.184.216.34:443", "93.184.216.34", "allow"],
  [["open"], "10.0.0.5:443", "10.0.0.5", "deny"],
  [["+ 10.0.0.5"], "10.0.0.5:443", "10.0.0.5", "allow"],
  // This machine's own loopback, and nothing else by that name.
  [["+ host.sbx.internal:8080"], "host.sbx.internal:8080", "127.0.0.1", "allow"],
  [["+ host.sbx.internal:8080"], "host.sbx.internal:8080", "::1", "allow"],
  [["+ host.sbx.internal:8080"], "host.sbx.internal:80", "127.0.0.1", "deny"],
  [["+ host.sbx.internal:8080"], "host.sbx.internal:8080", "10.0.0.5", "deny"],
  [["+ host.sbx.internal:8080"], "host.sbx.internal:8080", "93.184.216.34", "deny"],
  [["open"], "host.sbx.internal:8080", "127.0.0.1", "deny"],
  [["open"], "0x7f.1:80", "93.184.216.34", "deny"],
];

describe("addresses", () => {
  for (const [policy, target, address, verdict] of CASES) {
    test(`[${policy.join(" | ")}] ${target} at ${JSON.stringify(address)}: ${verdict}`, () => {
      const decision = policyOf(...policy).decideAddress(connectionTarget(target), address);
      assert.equal(decision.verdict, verdict, decision.reason);
    });
  }

  test("the denial says what the name resolves to, and names the address that would have to be allowed", () => {
    const policy = policyOf("+ db.example.com:5432");
    assert.deepEqual(policy.decideAddress(connectionTarget("db.example.com:5432"), "10.0.0.5"), {
      verdict: "deny",
      rule: null,
      reason: "db.example.com resolves to 10.0.0.5, a private address",
      fix: ["net", "allow", "SANDBOX", "10.0.0.5:5432"],
    });
    const loopback = policy.decideAddress(connectionTarget("db.example.com:5432"), "64:ff9b::127.0.0.1");
    assert.deepEqual(
      [loopback.reason, loopback.fix?.at(-1)],
      [
        "db.example.com resolves to 64:ff9b::7f00:1, a NAT64 address of 127.0.0.1, a loopback address",
        "[64:ff9b::7f00:1]:5432",
      ],
    );
  });
});
