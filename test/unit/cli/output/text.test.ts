import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { displayWidth, pad, truncate } from "../../../../src/cli/output/display-width.ts";
import { escapeLine, escapeText } from "../../../../src/cli/output/escape.ts";
import { humanDuration, humanRest, humanSize, humanTime } from "../../../../src/cli/output/human.ts";
import { colorLevel, openPalette, PLAIN } from "../../../../src/cli/output/palette.ts";
import { prose } from "../../../../src/cli/output/prose.ts";
import { quoteWord } from "../../../../src/cli/output/shell-quote.ts";

/** Everything that a terminal acts upon or that changes the order of what is read. */
const DANGEROUS = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;

test("control characters, separators and bidirectional overrides become visible escapes", () => {
  assert.equal(escapeLine("\u001b[31mred\u001b[0m"), "\\e[31mred\\e[0m");
  assert.equal(escapeLine("a\nb\tc\rd\u0007"), "a\\nb\\tc\\rd\\x07");
  assert.equal(escapeLine("\u009b2J\u202egnp.exe\u2066\u2028"), "\\x9b2J\\u202egnp.exe\\u2066\\u2028");
  assert.equal(escapeLine("\ud800x"), "\\ud800x");
  assert.equal(escapeLine("\u{e0041}"), "\\u{e0041}");
});

test("ordinary text of any language stays as it is", () => {
  for (const text of ["häßlich", "日本語", "👩‍💻 ok", "a b", "שלום"]) assert.equal(escapeLine(text), text);
});

test("text of several lines keeps its lines and tabs, and nothing else", () => {
  assert.equal(escapeText("a\n\tb\r\u001b"), "a\n\tb\\r\\e");
});

test("nothing dangerous is left of any text", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => assert.doesNotMatch(escapeLine(text), DANGEROUS)));
});

test("wide characters take two columns, combining ones none", () => {
  assert.equal(displayWidth("abc"), 3);
  assert.equal(displayWidth("日本"), 4);
  assert.equal(displayWidth("e\u0301"), 1);
  assert.equal(displayWidth("👩‍💻"), 2);
  assert.equal(pad("日", 4), "日  ");
});

test("what is cut fits, whatever is in it", () => {
  assert.equal(truncate("abcdef", 4), "abc…");
  assert.equal(truncate("日本語", 4), "日…");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 1, max: 20 }), (text, columns) => {
      assert.ok(displayWidth(truncate(text, columns)) <= columns);
    }),
  );
});

test("what was just given is left in full", () => {
  assert.deepEqual([1_199_950, 1_200_000, 59_001, 0].map(humanRest), ["20m", "20m", "1m", "0s"]);
});

test("times and sizes are short", () => {
  assert.deepEqual([0, 59_999, 60_000, 61_000, 3_599_000, 3_600_000, 5_400_000, 90_000_000, -5].map(humanDuration), [
    "0s",
    "59s",
    "1m",
    "1m1s",
    "59m",
    "1h",
    "1h30m",
    "1d1h",
    "0s",
  ]);
  assert.deepEqual([0, 1023, 1024, 1536, 1280 * 1024 ** 2, 10_000_000_000].map(humanSize), [
    "0 B",
    "1023 B",
    "1 KiB",
    "1.5 KiB",
    "1.3 GiB",
    "9.3 GiB",
  ]);
  const noon = new Date(2026, 2, 1, 12, 5, 9).getTime();
  assert.equal(humanTime(noon, noon + 1000), "12:05:09");
  assert.equal(humanTime(noon, noon + 30 * 86_400_000), "2026-03-01 12:05");
});

test("colours: NO_COLOR wins, then FORCE_COLOR, then the terminal", () => {
  const tty = { isTTY: true };
  assert.equal(colorLevel(tty, { TERM: "xterm" }), 1);
  assert.equal(colorLevel(tty, { TERM: "xterm-256color" }), 2);
  assert.equal(colorLevel(tty, { TERM: "xterm", COLORTERM: "truecolor" }), 3);
  assert.equal(colorLevel(tty, { TERM: "dumb" }), 0);
  assert.equal(colorLevel({}, { TERM: "xterm" }), 0);
  assert.equal(colorLevel({}, { FORCE_COLOR: "1" }), 1);
  assert.equal(colorLevel({}, { FORCE_COLOR: "3" }), 3);
  assert.equal(colorLevel(tty, { FORCE_COLOR: "0", TERM: "xterm" }), 0);
  assert.equal(colorLevel(tty, { NO_COLOR: "1", FORCE_COLOR: "3" }), 0);
  assert.equal(colorLevel(tty, { NO_COLOR: "", TERM: "xterm" }), 1);
});

test("a palette without colours changes nothing", async () => {
  assert.equal(await openPalette({}, {}), PLAIN);
  assert.equal((await openPalette({}, { FORCE_COLOR: "1" })).bad("x"), "\u001b[31mx\u001b[39m");
});

test("words are quoted so that a shell reads them back", () => {
  assert.equal(quoteWord("a-b/c.d"), "a-b/c.d");
  assert.equal(quoteWord("it's $HOME"), `'it'\\''s $HOME'`);
  assert.equal(quoteWord(""), "''");
});

test("prose joins the lines of a paragraph and keeps indented ones", () => {
  assert.equal(prose("\na\nb\n\nc\n  d\n  e\n"), "a b\n\nc\n  d\n  e");
});
