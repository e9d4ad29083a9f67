import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../../fuzz/net-scripted-guest.ts";
import { TimerWheel, WheelTimer } from "../../../src/egress/net/timer-wheel.ts";

const TICK_MS = 50;

test("each timer is due once, at its last time or up to two ticks later, and never before", () => {
  const action = fc.record({ timer: fc.nat(9), ms: fc.nat(200_000), pass: fc.nat(40_000), disarm: fc.boolean() });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const clock = new ManualClock();
      const wheel = new TimerWheel(clock);
      const due: (number | undefined)[] = [];
      const timers = Array.from({ length: 10 }, (_, at) => {
        return new WheelTimer((now) => {
          const expected = due[at];
          assert.ok(expected !== undefined, "a timer that is not armed was due");
          assert.ok(now >= expected && now <= expected + 2 * TICK_MS, `${now - expected} ms late`);
          due[at] = undefined;
        });
      });
      for (const { timer, ms, pass, disarm } of actions) {
        const chosen = timers[timer] as WheelTimer;
        if (disarm) wheel.disarm(chosen);
        else wheel.arm(chosen, clock.now() + ms);
        due[timer] = disarm ? undefined : clock.now() + ms;
        clock.advance(pass);
      }
      clock.advance(300_000);
      assert.ok(due.every((at) => at === undefined));
    }),
  );
});

test("an idle wheel and one whose timers are far away do not wake the process", () => {
  let wakes = 0;
  const clock = new ManualClock();
  const counting = {
    now: () => clock.now(),
    after: (ms: number, callback: () => void) =>
      clock.after(ms, () => {
        wakes++;
        callback();
      }),
  };
  const wheel = new TimerWheel(counting);
  const timer = new WheelTimer(() => undefined);
  wheel.arm(timer, clock.now() + 120_000);
  clock.advance(119_000);
  assert.ok(wakes <= 6, `${wakes} wakes`);
  clock.advance(10_000);
  const before = wakes;
  clock.advance(1_000_000);
  assert.equal(wakes, before);
});

test("a timer may arm and disarm others while it is due", () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const log: string[] = [];
  const timers: Record<"first" | "second" | "third", WheelTimer> = {
    first: new WheelTimer(() => {
      log.push("first");
      wheel.disarm(timers.second);
      wheel.arm(timers.third, clock.now());
      wheel.arm(timers.first, clock.now() + 500);
    }),
    second: new WheelTimer(() => log.push("second")),
    third: new WheelTimer(() => log.push("third")),
  };
  wheel.arm(timers.second, clock.now() + 110);
  wheel.arm(timers.first, clock.now() + 110);
  clock.advance(300);
  assert.deepEqual(log, ["first", "third"]);
  clock.advance(500);
  assert.deepEqual(log, ["first", "third", "first", "third"]);
});
