/** The host's clock may be set at any time: a life is measured by the clock that only ever runs forward. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Lifetime } from "../../../src/supervisor/lifetime.ts";

const HOUR_MS = 3_600_000;

/** Replaces timers, the steady clock and the wall clock; `advance` moves them, `setClock` the wall clock alone. */
function fakeClocks(t: TestContext): { advance: (ms: number) => void; setClock: (by: number) => void } {
  let wall = 1_800_000_000_000;
  let steady = 5_000;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  t.mock.method(Date, "now", () => wall);
  t.mock.method(performance, "now", () => steady);
  return {
    advance: (ms) => {
      wall += ms;
      steady += ms;
      t.mock.timers.tick(ms);
    },
    setClock: (by) => (wall += by),
  };
}

for (const [what, by] of [
  ["a year ahead", 365 * 24 * HOUR_MS],
  ["a year back", -365 * 24 * HOUR_MS],
] as const) {
  test(`setting the clock ${what} neither ends a sandbox nor keeps it alive`, (t) => {
    const { advance, setClock } = fakeClocks(t);
    let expired = 0;
    const lifetime = new Lifetime(HOUR_MS, () => (expired += 1));
    advance(HOUR_MS / 2);
    setClock(by);
    advance(HOUR_MS / 2 - 1);
    assert.equal(expired, 0);
    assert.equal(lifetime.expiresAt, Date.now() + 1, "the end is told by the clock of now");
    advance(1);
    assert.equal(expired, 1);
  });
}

test("extending counts from now and never shortens", (t) => {
  const { advance } = fakeClocks(t);
  let expired = 0;
  const lifetime = new Lifetime(HOUR_MS, () => (expired += 1));
  lifetime.extend(HOUR_MS / 2);
  assert.equal(lifetime.expiresAt, Date.now() + HOUR_MS);
  lifetime.extend(2 * HOUR_MS);
  advance(2 * HOUR_MS - 1);
  assert.equal(expired, 0);
  advance(1);
  assert.equal(expired, 1);
});

test("a life longer than a timer can wait is as long as it says", (t) => {
  const { advance } = fakeClocks(t);
  const days = 24 * HOUR_MS;
  let expired = 0;
  const lifetime = new Lifetime(60 * days, () => (expired += 1));
  for (let day = 0; day < 59; day += 1) advance(days);
  assert.equal(expired, 0);
  advance(days);
  assert.equal(expired, 1);
  lifetime.cancel();
});

test("a sandbox that lives with its session has no end of its own", (t) => {
  const { advance } = fakeClocks(t);
  const lifetime = new Lifetime(null, () => assert.fail("it ended"));
  advance(1000 * HOUR_MS);
  lifetime.extend(1);
  advance(HOUR_MS);
  assert.equal(lifetime.expiresAt, null);
});
