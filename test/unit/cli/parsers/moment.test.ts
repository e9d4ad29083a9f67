import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEventTypes } from "../../../../src/cli/parsers/event-types.ts";
import { parseMoment } from "../../../../src/cli/parsers/moment.ts";
import { EVENT_TYPES } from "../../../../src/runtime/watching.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";

const NOW = Date.UTC(2026, 2, 1, 12);

const isUsage = (error: unknown): boolean => error instanceof SbxError && error.code === "usage";

test("a duration is how long ago, a date is the user's midnight, a time is itself", () => {
  assert.equal(parseMoment("10m", NOW), NOW - 600_000);
  assert.equal(parseMoment("0s", NOW), NOW);
  assert.equal(parseMoment("30d", NOW), NOW - 30 * 86_400_000);
  assert.equal(parseMoment("2026-03-01", NOW), new Date(2026, 2, 1).getTime());
  assert.equal(parseMoment("2026-03-01T10:00:00Z", NOW), NOW - 2 * 3_600_000);
  assert.equal(parseMoment("2026-03-01 10:00:00.5+01:00", NOW), NOW - 3 * 3_600_000 + 500);
});

test("what is neither is refused", () => {
  for (const text of ["", "soon", "10", "-5m", "2026", "2026-3-1", "2026-02-30T99:00", "2026-13-01", "2026-03-01x"]) {
    assert.throws(() => parseMoment(text, NOW), isUsage, text);
  }
});

test("a type of event is itself, a kind is all of its types, anything else is refused", () => {
  assert.equal(parseEventTypes([]), undefined);
  assert.deepEqual(parseEventTypes(["sandbox.stopped"]), ["sandbox.stopped"]);
  assert.deepEqual(
    parseEventTypes(["process,snapshot"]),
    EVENT_TYPES.filter((type) => /^(process|snapshot)\./.test(type)),
  );
  for (const bad of ["", "sand", "sandbox.", "sandbox.sang"]) assert.throws(() => parseEventTypes([bad]), isUsage, bad);
});
