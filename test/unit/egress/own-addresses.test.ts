/** Which addresses are this machine's, and how often the system is asked. */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { OwnAddresses } from "../../../src/egress/own-addresses.ts";
import { LivePolicy } from "../../../src/egress/live-policy.ts";
import { findAddress, type IpAddress } from "../../../src/policy/ip-address.ts";

function addressOf(text: string): IpAddress {
  return findAddress(text) ?? assert.fail(`${text} is no address`);
}

test("every address of this machine's interfaces is its own, and others are not", () => {
  const own = new OwnAddresses();
  const listed = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  assert.ok(listed.length > 0);
  for (const { address } of listed) assert.ok(own.has(addressOf(address)), address);
  assert.equal(own.has(addressOf("192.0.2.250")), false);
});

test("one family's value is not the other's, and zones and nonsense do not matter", () => {
  const own = new OwnAddresses(
    () => ["0.0.0.7", "fe80::1%eth0", "nonsense"],
    () => 0,
  );
  assert.equal(own.has(addressOf("0.0.0.7")), true);
  assert.equal(own.has(addressOf("::7")), false);
  assert.equal(own.has(addressOf("fe80::1")), true);
});

test("the system is asked when an answer is needed, and not more often than once a second", () => {
  let asked = 0;
  let now = 5000;
  let addresses = ["192.0.2.1"];
  const own = new OwnAddresses(
    () => {
      asked++;
      return addresses;
    },
    () => now,
  );
  assert.equal(asked, 0);
  for (let times = 0; times < 100; times++) assert.equal(own.has(addressOf("192.0.2.2")), false);
  assert.equal(asked, 1);
  addresses = ["192.0.2.2"];
  now += 999;
  assert.equal(own.has(addressOf("192.0.2.2")), false);
  now += 1;
  assert.equal(own.has(addressOf("192.0.2.2")), true);
  assert.equal(asked, 2);
});

test("a policy that is changed while its sandbox runs keeps them closed", () => {
  const own = new OwnAddresses(() => ["192.0.2.1"]);
  const policy = new LivePolicy(
    { mode: "open", rules: [], expressions: [] },
    () => undefined,
    (address) => own.has(address),
  );
  const target = { host: "192.0.2.1", port: 22 };
  assert.equal(policy.current.decideConnection(target).verdict, "deny");
  policy.change({ verdict: "allow", hosts: ["a.example"] });
  assert.equal(policy.current.decideConnection(target).verdict, "deny");
  policy.change({ verdict: "allow", hosts: ["192.0.2.1:22"] });
  assert.equal(policy.current.decideConnection(target).verdict, "allow");
});
