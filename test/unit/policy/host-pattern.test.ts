/** The grammar of --allow-net and --deny-net: what each form means, and what is refused with a way out. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { matchesHost, parseHostPattern } from "../../../src/policy/host-pattern.ts";
import { renderHostPattern } from "../../../src/policy/render.ts";
import { SbxError } from "../../../src/runtime/errors.ts";

/** Pattern and how it is shown, which says both host and ports. */
const ACCEPTED: readonly (readonly [string, string])[] = [
  ["api.example.com", "api.example.com"],
  ["API.Example.COM.", "api.example.com"],
  ["api.example.com:443", "api.example.com:443"],
  ["api.example.com:80,443", "api.example.com:80,443"],
  ["api.example.com:443,80", "api.example.com:80,443"],
  ["api.example.com:80-90", "api.example.com:80-90"],
  ["api.example.com:80-90,85-100,101", "api.example.com:80-101"],
  ["api.example.com:1-65535", "api.example.com:1-65535"],
  ["bücher.example:443", "xn--bcher-kva.example:443"],
  ["db", "db"],
  ["db:5432", "db:5432"],
  ["*.example.com", "*.example.com"],
  ["*.Example.com.:443", "*.example.com:443"],
  ["*.bücher.example", "*.xn--bcher-kva.example"],
  ["*.a.b.example.com", "*.a.b.example.com"],
  ["10.0.0.5", "10.0.0.5"],
  ["10.0.0.5:5432", "10.0.0.5:5432"],
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["10.0.0.0/8:5432", "10.0.0.0/8:5432"],
  ["10.0.0.5/32", "10.0.0.5"],
  ["0.0.0.0/0", "0.0.0.0/0"],
  ["::1", "::1"],
  ["[::1]", "::1"],
  ["[::1]:443", "[::1]:443"],
  ["FD00::0:1", "fd00::1"],
  ["fd00::/8", "fd00::/8"],
  ["[fd00::/8]", "fd00::/8"],
  ["[fd00::/8]:443", "[fd00::/8]:443"],
  ["[fd00::]:8000-8010", "[fd00::]:8000-8010"],
  ["fd00::1/128", "fd00::1"],
  ["::/0", "::/0"],
  ["::ffff:10.0.0.5", "10.0.0.5"],
  ["[::ffff:10.0.0.5]:80", "10.0.0.5:80"],
  ["[::ffff:10.0.0.0/104]:80", "10.0.0.0/8:80"],
  ["host.sbx.internal:8080", "host.sbx.internal:8080"],
  ["_srv.example.com", "_srv.example.com"],
];

/** Pattern, and what its message and hint say. */
const REFUSED: readonly (readonly [string, RegExp, RegExp?])[] = [
  ["", /it is empty/],
  [" ", /spaces/],
  ["a.example b.example", /spaces or control/, /one pattern at a time/],
  ["a.example\n", /spaces or control/],
  ["a.example\0", /spaces or control/],
  ["*", /every host/, /--net open/],
  ["*:443", /every host/, /--net open/],
  ["*.com", /top-level domain/, /\*\.example\.com/],
  ["*.com.", /top-level domain/],
  ["*.", /it is empty/],
  ["*..com", /empty/],
  ["*example.com", /\* stands only/, /\*\.example\.com/],
  ["a.*.example.com", /\* stands only/],
  ["**.example.com", /\* stands only/],
  ["*.*.example.com", /\* stands only/],
  ["*.1.2.3.4", /addresses have no subdomains/],
  [".example.com", /empty/, /write \*\.example\.com/],
  ["https://api.example.com", /it is a URL/, /api\.example\.com:443/],
  ["http://api.example.com/v1", /it is a URL/, /api\.example\.com:80/],
  ["https://api.example.com:8443/v1", /it is a URL/, /api\.example\.com:8443/],
  ["api.example.com/v1", /it has a path/, /--net-file/],
  ["api.example.com?x=1", /query/],
  ["user@api.example.com", /user name/],
  ["api.example.com:", /list of ports/],
  ["api.example.com:0", /list of ports/],
  ["api.example.com:65536", /list of ports/],
  ["api.example.com:99999999999", /list of ports/],
  ["api.example.com:0443", /list of ports/],
  ["api.example.com:http", /list of ports/],
  ["api.example.com:*", /list of ports/, /leave the port away/],
  ["api.example.com:80,", /list of ports/],
  ["api.example.com:80-", /list of ports/],
  ["api.example.com:-80", /list of ports/],
  ["api.example.com:90-80", /range of ports/, /80-90/],
  ["api.example.com:80-90-100", /list of ports/],
  ["api.example.com:80:90", /not an IPv6 address/],
  [`api.example.com:${Array.from({ length: 65 }, (_, at) => at + 1).join(",")}`, /more than 64/],
  ["2130706433", /four decimal numbers/, /127\.0\.0\.1/],
  ["0x7f.1", /four decimal numbers/],
  ["0177.0.0.1", /four decimal numbers/],
  ["127.1", /four decimal numbers/],
  ["10.0.0.5/8", /bits below its prefix/, /write 10\.0\.0\.0\/8 .* or 10\.0\.0\.5/],
  ["fd00::1/8", /bits below its prefix/, /write fd00::\/8/],
  ["10.0.0.0/33", /its prefix is not one/],
  ["10.0.0.0/08", /its prefix is not one/],
  ["10.0.0.0/", /its prefix is not one/],
  ["10.0.0.0/8/8", /its prefix is not one/],
  ["fd00::/129", /its prefix is not one/],
  ["10.0/8", /it has a path/],
  ["[::ffff:0.0.0.0/8]", /its prefix is not one/],
  ["[::1", /brackets do not fit/],
  ["[::1]443", /brackets do not fit/],
  ["[[::1]]:443", /brackets do not fit/],
  ["[10.0.0.5]:443", /brackets are for IPv6/],
  ["[api.example.com]:443", /brackets are for IPv6/],
  ["[fe80::1%eth0]:443", /zone/],
  ["fe80::1%1", /zone/],
  ["%65xample.com", /percent-encoded/],
  ["localhost", /the sandbox's own loopback/, /host\.sbx\.internal/],
  ["localhost:3000", /the sandbox's own loopback/, /host\.sbx\.internal/],
  ["app.localhost:3000", /the sandbox's own loopback/],
  ["host.sbx.internal", /every port of this machine's own loopback/, /host\.sbx\.internal:8080/],
  ["*.sbx.internal:80", /this machine's own loopback/],
  [`${"a".repeat(64)}.example`, /63 characters/],
  [`${"a.".repeat(130)}example`, /253 characters/],
  ["a".repeat(5000), /too long/],
];

describe("host patterns", () => {
  for (const [text, shown] of ACCEPTED) {
    test(`${text} is taken as ${shown}`, () => {
      const { host, ports } = parseHostPattern(text);
      assert.equal(renderHostPattern(host, ports), shown);
    });
  }

  for (const [text, message, hint] of REFUSED) {
    test(`${JSON.stringify(text.slice(0, 60))} is a usage error`, () => {
      assert.throws(
        () => parseHostPattern(text),
        (error) => {
          assert.ok(error instanceof SbxError);
          assert.deepEqual({ code: error.code, exit: error.exitCode }, { code: "usage", exit: 2 });
          assert.match(error.message, message);
          if (hint !== undefined) assert.match(error.hint ?? "", hint);
          // The value is there, quoted, on one line and not endless.
          assert.ok(error.message.includes('"') && !/[\n\0]/.test(error.message) && error.message.length < 300);
          return true;
        },
      );
    });
  }

  test("a denial may be wider than an allowance", () => {
    for (const text of ["*", "*:25", "*.com", "*.internal", "localhost", "host.sbx.internal", "*.sbx.internal"]) {
      const { host, ports } = parseHostPattern(text, "deny");
      assert.equal(renderHostPattern(host, ports), text);
    }
  });

  test("what is shown is read as the same pattern", () => {
    for (const [text] of ACCEPTED) {
      const pattern = parseHostPattern(text);
      assert.deepEqual(parseHostPattern(renderHostPattern(pattern.host, pattern.ports)), pattern);
    }
  });

  test("any text is a pattern or a usage error", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[a-z0-9*.:,\-/[\]%@]{1,24}$/)),
        (text) => {
          try {
            const pattern = parseHostPattern(text, "deny");
            assert.deepEqual(parseHostPattern(renderHostPattern(pattern.host, pattern.ports), "deny"), pattern);
          } catch (error) {
            assert.ok(error instanceof SbxError && error.code === "usage", String(error));
          }
        },
      ),
      { numRuns: 5000, seed: 5 },
    );
  });

  test("a star stands for names below, at any depth, and not for the name itself", () => {
    assert.equal(matchesHost("*.example.com", "a.example.com"), true);
    assert.equal(matchesHost("*.example.com", "a.b.c.example.com"), true);
    assert.equal(matchesHost("*.example.com", "example.com"), false);
    assert.equal(matchesHost("*.example.com", "badexample.com"), false);
    assert.equal(matchesHost("*.example.com", "a.example.com.evil.test"), false);
    assert.equal(matchesHost("example.com", "a.example.com"), false);
  });
});
