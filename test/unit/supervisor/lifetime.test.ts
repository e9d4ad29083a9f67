/** A sandbox ends after its time on the monotonic clock, whatever happens to the host's clock. */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { Lifetime } from "../../../src/supervisor/lifetime.ts";
import { nowNs } from "../../../src/protocol/agent-greeting.ts";

/** Time that only the test moves: timers, the wall clock, and the monotonic clock. */
function stopTime(t: TestContext): { advance: (ms: number) => void } {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  let monotonic = 500;
  t.mock.method(performance, "now", () => monotonic);
  return {
    advance(ms) {
      monotonic += ms;
      t.mock.timers.tick(ms);
    },
  };
}

test("a life ends once, when its time is over", (t) => {
  const time = stopTime(t);
  let ends = 0;
  const life = new Lifetime(1000, () => (ends += 1));
  assert.equal(life.expiresAt, 1_001_000);
  time.advance(999);
  assert.equal(ends, 0);
  time.advance(1);
  time.advance(5000);
  assert.equal(ends, 1);
});

test("extending never shortens a life", (t) => {
  const time = stopTime(t);
  let ends = 0;
  const life = new Lifetime(1000, () => (ends += 1));
  life.extend(10);
  assert.equal(life.expiresAt, 1_001_000);
  life.extend(-5000);
  assert.equal(life.expiresAt, 1_001_000);
  life.extend(2000);
  assert.equal(life.expiresAt, 1_002_000);
  time.advance(1500);
  assert.equal(ends, 0);
  time.advance(500);
  assert.equal(ends, 1);
});

test("setting the host's clock neither ends a life nor prolongs it, and moves the end that is shown", (t) => {
  const time = stopTime(t);
  let ends = 0;
  const life = new Lifetime(1000, () => (ends += 1));
  t.mock.timers.setTime(1_000_000 + 86_400_000);
  assert.equal(ends, 0);
  assert.equal(life.expiresAt, 1_000_000 + 86_400_000 + 1000);
  time.advance(1000);
  assert.equal(ends, 1);
});

test("a life longer than a timer can wait does not end early", (t) => {
  const time = stopTime(t);
  let ends = 0;
  new Lifetime(2 ** 31 + 5000, () => (ends += 1));
  time.advance(2 ** 31 - 1);
  assert.equal(ends, 0);
  time.advance(5001);
  assert.equal(ends, 1);
});

test("a life that was cancelled does not end, and extending does not bring it back", (t) => {
  const time = stopTime(t);
  const life = new Lifetime(1000, () => assert.fail("it ended"));
  life.cancel();
  life.extend(10);
  time.advance(100_000);
});

test("a session has no end, and extending gives it none", (t) => {
  const time = stopTime(t);
  const life = new Lifetime(null, () => assert.fail("it ended"));
  life.extend(10);
  assert.equal(life.expiresAt, null);
  time.advance(100_000);
});

test("a life without any time ends, but not before its maker knows of it", (t) => {
  const time = stopTime(t);
  let ends = 0;
  new Lifetime(0, () => (ends += 1));
  assert.equal(ends, 0);
  time.advance(1);
  assert.equal(ends, 1);
});

test("a guest is told the host's clock as it is now, also after it was set", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_234 });
  assert.equal(nowNs(), "1234000000");
  t.mock.timers.setTime(99_000);
  assert.equal(nowNs(), "99000000000");
});
