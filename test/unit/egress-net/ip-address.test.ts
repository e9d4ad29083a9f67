/** Addresses are read by hand, and as strictly as node:net reads them. */
import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { parseIpAddress } from "../../../src/egress/net/ip-address.ts";
import { findAddress, formatAddress } from "../../../src/policy/ip-address.ts";

const PIECES = [
  "::",
  ":",
  ".",
  "%",
  " ",
  "0",
  "00",
  "1",
  "9f",
  "ffff",
  "00000",
  "A",
  "g",
  "255",
  "256",
  "1.2.3.4",
  "::ffff:",
];

function isRead(text: string): boolean {
  try {
    parseIpAddress(text);
    return true;
  } catch (error) {
    assert.ok(error instanceof TypeError);
    return false;
  }
}

test("what node:net takes for an address without a zone is one, and nothing else is", () => {
  const text = fc.oneof(
    fc.array(fc.constantFrom(...PIECES), { maxLength: 17 }).map((parts) => parts.join("")),
    fc.array(fc.constantFrom("0", "1", "ab", ""), { minLength: 1, maxLength: 10 }).map((parts) => parts.join(":")),
    fc.ipV6(),
    fc.ipV4(),
    fc.string(),
  );
  fc.assert(
    fc.property(text, (given) => {
      assert.equal(isRead(given), isIP(given) !== 0 && !given.includes("%"), JSON.stringify(given));
    }),
    { numRuns: 5_000 },
  );
});

test("both readers of addresses read the same", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV6(), fc.ipV4()), (given) => {
      const found = findAddress(given);
      assert.ok(found);
      const mapped = /^::ffff:(\d+\..*)$/.exec(parseIpAddress(given).toString());
      assert.equal(mapped?.[1] ?? parseIpAddress(given).toString(), formatAddress(found));
    }),
  );
});
