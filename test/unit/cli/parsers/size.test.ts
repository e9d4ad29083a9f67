import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { displaySize, formatSize, parseSize } from "../../../../src/cli/parsers/size.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";

const ANY = { minBytes: 0, maxBytes: Number.MAX_SAFE_INTEGER };

test("kB, MB, GB and TB are decimal, KiB to TiB and bare letters binary, in either case", () => {
  const cases: [string, number][] = [
    ["1B", 1],
    ["1kB", 1000],
    ["1KB", 1000],
    ["2MB", 2e6],
    ["10GB", 1e10],
    ["1tb", 1e12],
    ["1KiB", 1024],
    ["1280MiB", 1280 * 1024 ** 2],
    ["2GiB", 2 * 1024 ** 3],
    ["1gi", 1024 ** 3],
    ["1TiB", 1024 ** 4],
    ["512k", 512 * 1024],
    ["2g", 2 * 1024 ** 3],
    ["2G", 2 * 1024 ** 3],
    ["1.5GiB", 1.5 * 1024 ** 3],
    ["0.5kB", 500],
  ];
  for (const [text, bytes] of cases) assert.equal(parseSize(text, ANY), bytes, text);
});

test("everything else is refused with status 2", () => {
  const bad = [
    "",
    " ",
    "1",
    "1280",
    "G",
    "-1G",
    "+1G",
    "1 G",
    " 1G",
    "1G ",
    "1e3G",
    "0x1G",
    "1,5G",
    "1.G",
    ".5G",
    "1GG",
    "1Gb/s",
    "１G",
    "1PiB",
    "NaN",
    "1.0000001G",
    "1G\n",
    `${"9".repeat(16)}G`,
  ];
  for (const text of bad) {
    assert.throws(
      () => parseSize(text, ANY),
      (error) => error instanceof SbxError && error.exitCode === 2,
      JSON.stringify(text),
    );
  }
});

test("a size that is no whole number of bytes is refused", () => {
  assert.throws(() => parseSize("1.5B", ANY), /not a whole number of bytes/);
  assert.throws(() => parseSize("0.0001KiB", ANY), /not a whole number of bytes/);
});

test("the limits are part of the message", () => {
  assert.throws(() => parseSize("64MiB", { minBytes: 128 * 1024 ** 2, maxBytes: 1024 ** 4 }), {
    message: '"64MiB" is out of range: it must be from 128MiB to 1TiB',
  });
  assert.throws(() => parseSize("999999999999999TB", ANY), /out of range/);
});

test("what is written is read back as the same number", () => {
  fc.assert(fc.property(fc.maxSafeNat(), (bytes) => assert.equal(parseSize(formatSize(bytes), ANY), bytes)));
});

test("a disk is shown with the size that it was asked for, although it has whole MiB", () => {
  const MiB = 1024 ** 2;
  const shown: [number, string][] = [
    [Math.ceil(10e9 / MiB) * MiB, "10GB"],
    [Math.ceil(2e12 / MiB) * MiB, "2TB"],
    [10e9, "10GB"],
    [10 * 1024 ** 3, "10GiB"],
    [1024 ** 4, "1TiB"],
    [9536 * MiB, "9536MiB"],
    [9538 * MiB, "9538MiB"],
    [16 * MiB, "16MiB"],
    [300_000_001, "300000001B"],
  ];
  for (const [bytes, text] of shown) assert.equal(displaySize(bytes), text);
});

test("no text makes it throw anything but a usage error, or return anything but whole bytes within the limits", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\d{1,18}\.?\d{0,8}[kmgtKMGT]?i?[bB]?$/)), (text) => {
      try {
        const bytes = parseSize(text, { minBytes: 1, maxBytes: 1e12 });
        assert.ok(Number.isSafeInteger(bytes) && bytes >= 1 && bytes <= 1e12);
      } catch (error) {
        assert.ok(error instanceof SbxError && error.code === "usage");
      }
    }),
  );
});
