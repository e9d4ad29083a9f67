import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatDuration, MAX_DURATION_MS, parseDuration } from "../../../../src/cli/parsers/duration.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";

test("days, hours, minutes, seconds and milliseconds, alone or in this order", () => {
  const cases: [string, number][] = [
    ["90s", 90_000],
    ["10m", 600_000],
    ["1h", 3_600_000],
    ["1h30m", 5_400_000],
    ["2d", 172_800_000],
    ["500ms", 500],
    ["1m500ms", 60_500],
    ["1d2h3m4s5ms", 86_400_000 + 7_200_000 + 180_000 + 4000 + 5],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
});

test("everything else is refused with status 2", () => {
  for (const text of [
    "",
    "10",
    "m",
    "10 m",
    "1.5h",
    "-1m",
    "10M",
    "30m1h",
    "1m1m",
    "1ms1s",
    "1h ",
    "forever",
    "1w",
    "0s",
    "25d",
    "99999999999h",
  ]) {
    assert.throws(
      () => parseDuration(text),
      (error) => error instanceof SbxError && error.exitCode === 2,
      text,
    );
  }
});

test("a number without a unit is met with two ways to write it", () => {
  assert.throws(() => parseDuration("30"), { hint: "give a unit, such as 30s or 30m" });
});

test("what is written is read back as the same number", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: MAX_DURATION_MS }), (ms) =>
      assert.equal(parseDuration(formatDuration(ms)), ms),
    ),
  );
});

test("no text makes it throw anything but a usage error", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^(\d{1,12}(d|h|m|s|ms)){0,5}$/)), (text) => {
      try {
        const ms = parseDuration(text);
        assert.ok(Number.isSafeInteger(ms) && ms >= 1 && ms <= MAX_DURATION_MS);
      } catch (error) {
        assert.ok(error instanceof SbxError && error.code === "usage");
      }
    }),
  );
});
