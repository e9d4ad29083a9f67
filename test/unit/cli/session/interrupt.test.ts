import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { Interrupt } from "../../../../src/cli/interrupt.ts";

function setUp(): { source: EventEmitter; interrupt: Interrupt; clock: { now: number }; second: string[] } {
  const source = new EventEmitter();
  const clock = { now: 1000 };
  const second: string[] = [];
  const interrupt = new Interrupt(
    source,
    () => clock.now,
    (name) => second.push(name),
  );
  return { source, interrupt, clock, second };
}

test("the first signal aborts, the second one ends", () => {
  const { source, interrupt, clock, second } = setUp();
  source.emit("SIGTERM");
  assert.equal(interrupt.signal.aborted, true);
  assert.equal(interrupt.received, "SIGTERM");
  assert.deepEqual(second, []);
  clock.now += 100;
  source.emit("SIGINT");
  assert.deepEqual(second, ["SIGINT"]);
});

test("the same signal twice within 50 ms is one: the terminal's and the launcher's", () => {
  const { source, clock, second } = setUp();
  source.emit("SIGINT");
  clock.now += 49;
  source.emit("SIGINT");
  assert.deepEqual(second, []);
  clock.now += 51;
  source.emit("SIGINT");
  assert.deepEqual(second, ["SIGINT"]);
});

test("diverted signals go elsewhere and abort nothing, until that ends", () => {
  const { source, interrupt } = setUp();
  const taken: string[] = [];
  {
    using diverted = interrupt.divert((name) => taken.push(name));
    assert.ok(diverted);
    source.emit("SIGHUP");
    source.emit("SIGQUIT");
  }
  assert.deepEqual(taken, ["SIGHUP", "SIGQUIT"]);
  assert.equal(interrupt.signal.aborted, false);
  source.emit("SIGINT");
  assert.equal(interrupt.signal.aborted, true);
});

test("no listener is left behind", () => {
  const { source, interrupt } = setUp();
  interrupt[Symbol.dispose]();
  interrupt[Symbol.dispose]();
  assert.deepEqual(source.eventNames(), []);
});
