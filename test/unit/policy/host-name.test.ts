/** One host, one spelling; and what looks like a host but is not. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { canonicalHost, readHost } from "../../../src/policy/host-name.ts";

const LABEL_63 = "a".repeat(63);

/** Text and its canonical form, `null` where it is refused. */
const TABLE: readonly (readonly [string, string | null])[] = [
  ["example.com", "example.com"],
  ["EXAMPLE.com", "example.com"],
  ["eXaMpLe.CoM.", "example.com"],
  ["localhost", "localhost"],
  ["db", "db"],
  ["a.b.c.d.e.f.g", "a.b.c.d.e.f.g"],
  ["_dmarc.example.com", "_dmarc.example.com"],
  ["my_bucket.example.com", "my_bucket.example.com"],
  ["r3---sn-abc.example.com", "r3---sn-abc.example.com"],
  ["1.example.com", "1.example.com"],
  ["1.2.3.example", "1.2.3.example"],
  ["0x7f.example", "0x7f.example"],
  ["3com.example", "3com.example"],
  ["xn--bcher-kva.example", "xn--bcher-kva.example"],
  ["XN--BCHER-KVA.example", "xn--bcher-kva.example"],
  ["bücher.example", "xn--bcher-kva.example"],
  ["BÜCHER.example.", "xn--bcher-kva.example"],
  ["bu\u0308cher.example", "xn--bcher-kva.example"],
  ["faß.example", "xn--fa-hia.example"],
  ["日本.example", "xn--wgv71a.example"],
  ["example。com", "example.com"],
  ["ｅｘａｍｐｌｅ.com", "example.com"],
  ["\u212aube.example", "kube.example"],
  ["exa\u00admple.com", "example.com"],
  ["127.0.0.1", "127.0.0.1"],
  ["127.0.0.1.", "127.0.0.1"],
  ["255.255.255.255", "255.255.255.255"],
  ["::1", "::1"],
  ["[::1]", "::1"],
  ["[2001:DB8::0:1]", "2001:db8::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["::", "::"],
  ["1::", "1::"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ["::ffff:127.0.0.1", "127.0.0.1"],
  ["[::FFFF:7f00:1]", "127.0.0.1"],
  ["0:0:0:0:0:ffff:10.0.0.5", "10.0.0.5"],
  ["64:ff9b::10.0.0.5", "64:ff9b::a00:5"],
  ["::10.0.0.5", "::a00:5"],
  [`${LABEL_63}.example`, `${LABEL_63}.example`],
  [
    Array.from({ length: 4 }, () => "a".repeat(62)).join("."),
    Array.from({ length: 4 }, () => "a".repeat(62)).join("."),
  ],
  // Addresses in other notations, which something behind may read as addresses.
  ["2130706433", null],
  ["0x7f000001", null],
  ["0x7f.1", null],
  ["0X7F.1", null],
  ["127.1", null],
  ["127.0.1", null],
  ["0177.0.0.1", null],
  ["127.0.0.01", null],
  ["127.0.0.0x1", null],
  ["256.0.0.1", null],
  ["1.2.3.4.5", null],
  ["127.0.0.1..", null],
  ["foo.1", null],
  ["foo.0x", null],
  ["example.0x1f", null],
  ["example.09", null],
  ["１２７.０.０.１", null],
  ["①②⑦.⓪.⓪.①", null],
  ["127。0。0。1", null],
  ["[127.0.0.1]", null],
  // Not hosts.
  ["", null],
  [".", null],
  ["..", null],
  [".example.com", null],
  ["example..com", null],
  ["example.com..", null],
  ["-a.example", null],
  ["a.-b.example", null],
  ["exa mple.com", null],
  [" example.com", null],
  ["example.com\n", null],
  ["example.com\0", null],
  ["example.com\0.evil.test", null],
  ["%65xample.com", null],
  ["example%2ecom", null],
  ["ex%C3%A4mple.com", null],
  ["bücher%2eexample", null],
  ["user@example.com", null],
  ["example.com/path", null],
  ["bücher.example/path", null],
  ["bücher.example?x", null],
  ["example.com?x", null],
  ["example.com#x", null],
  ["example.com\\.evil.test", null],
  ["*.example.com", null],
  ["exam*ple.com", null],
  ["example.com:443", null],
  ["[example.com]", null],
  ["[::1", null],
  ["::1]", null],
  ["[::1]:443", null],
  ["fe80::1%eth0", null],
  ["[fe80::1%25eth0]", null],
  ["1::2::3", null],
  ["12345::", null],
  [":::", null],
  ["1:2:3:4:5:6:7", null],
  ["1:2:3:4:5:6:7:8:9", null],
  ["ex\u200dample.com", null],
  ["ex\u202eample.com", null],
  ["xn--a\ud800.example", null],
  [`${LABEL_63}a.example`, null],
  [Array.from({ length: 5 }, () => LABEL_63).join("."), null],
  [`${"ü".repeat(60)}.example`, null],
  ["a".repeat(100_000), null],
  ["a.".repeat(50_000), null],
  ["ü".repeat(100_000), null],
  ["[".repeat(1000), null],
];

describe("canonical hosts", () => {
  for (const [text, expected] of TABLE) {
    const shown = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
    test(`${shown} is ${expected === null ? "refused" : expected.slice(0, 60)}`, () => {
      assert.equal(canonicalHost(text), expected);
    });
  }

  test("a refusal says why", () => {
    assert.deepEqual(readHost("0x7f.1"), {
      kind: "refused",
      why: "an IPv4 address is four decimal numbers without leading zeros",
    });
    assert.deepEqual(readHost("fe80::1%eth0"), { kind: "refused", why: "addresses with a zone are not reachable" });
  });

  test("a canonical host is its own canonical form", () => {
    const anything = fc.oneof(
      fc.domain(),
      fc.ipV4(),
      fc.ipV4Extended(),
      fc.ipV6(),
      fc.webAuthority(),
      fc.string({ unit: "binary", maxLength: 40 }),
      fc.stringMatching(/^[a-zA-Z0-9_.:\-[\]x]{1,30}$/),
    );
    fc.assert(
      fc.property(anything, (text) => {
        const once = canonicalHost(text);
        if (once !== null) assert.equal(canonicalHost(once), once);
      }),
      { numRuns: 3000, seed: 3 },
    );
  });

  test("whatever a WHATWG URL would take for an IPv4 address is that address here, or refused", () => {
    const numberForm = fc.oneof(
      fc.nat(0xffff_ffff).map(String),
      fc.nat(0xffff_ffff).map((value) => `0x${value.toString(16)}`),
      fc
        .array(
          fc.oneof(
            fc.nat(300).map(String),
            fc.nat(255).map((n) => `0${n.toString(8)}`),
            fc.nat(255).map((n) => `0x${n.toString(16)}`),
          ),
          {
            minLength: 1,
            maxLength: 5,
          },
        )
        .map((parts) => parts.join(".")),
    );
    fc.assert(
      fc.property(numberForm, (text) => {
        const url = URL.parse(`http://${text}/`);
        const canonical = canonicalHost(text);
        if (canonical !== null) assert.equal(canonical, url?.hostname);
      }),
      { numRuns: 3000, seed: 4 },
    );
  });
});
