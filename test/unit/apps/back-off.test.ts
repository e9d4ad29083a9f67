/** What does not come up, or does not stay, is left alone for longer and longer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BackOff } from "../../../src/runtime/local/apps/back-off.ts";
import { SbxError } from "../../../src/runtime/errors.ts";

class Clock {
  now = 0;
  readonly backOff = new BackOff(() => this.now);

  get isOpen(): boolean {
    try {
      this.backOff.check();
      return true;
    } catch {
      return false;
    }
  }

  /** How long it is left alone, `ms`. */
  pause(): number {
    const from = this.now;
    while (!this.isOpen) this.now += 500;
    return this.now - from;
  }
}

const NOT_UP = new SbxError("guest_error", "it does not come up");

test("what does not come up is left alone for twice as long each time, up to a minute, and says why meanwhile", () => {
  const clock = new Clock();
  const pauses = Array.from({ length: 9 }, () => {
    clock.backOff.failed(NOT_UP);
    assert.throws(() => clock.backOff.check(), NOT_UP);
    return clock.pause();
  });
  assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  clock.backOff.reset();
  clock.backOff.failed(NOT_UP);
  assert.equal(clock.pause(), 1000);
});

test("a program that ends is started again at once, but not one that ends as soon as it has started, again and again", () => {
  const clock = new Clock();
  clock.backOff.ended(60_000);
  assert.equal(clock.pause(), 0);
  clock.backOff.ended(100);
  assert.equal(clock.pause(), 0);
  clock.backOff.ended(100);
  assert.throws(() => clock.backOff.check(), { code: "guest_error", message: "the program ends again and again" });
  assert.equal(clock.pause(), 2000);
  clock.backOff.ended(60_000);
  assert.equal(clock.pause(), 0);
});

test("what is not the program's fault leaves it as it was", () => {
  const clock = new Clock();
  clock.backOff.failed(new SbxError("insufficient_resources", "no memory"));
  clock.backOff.failed(new SbxError("aborted", "left"));
  assert.equal(clock.pause(), 0);
});
