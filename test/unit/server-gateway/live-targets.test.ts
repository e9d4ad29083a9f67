/** Targets live as long as somebody has them: no longer, and whatever strangers ask for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ANONYMOUS, type Target } from "../../../src/gateway/gateway.ts";
import { LiveTargets } from "../../../src/server/gateway/live-targets.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function make(): Target {
  return { subject: ANONYMOUS, isPaused: () => false, dial: async () => Promise.reject(new Error("not here")) };
}

test("one that somebody has is the same, however many others were asked for; of those nothing stays", async () => {
  const targets = new LiveTargets<Target>();
  const popular = targets.of("popular", make);
  for (let at = 0; at < 10_000; at++) targets.of(`made-up-${at}`, make);
  while (targets.size > 1) {
    await sleep(5);
    collect();
  }
  assert.equal(targets.of("popular", make), popular);
  assert.deepEqual([...targets], [popular]);
});

test("one that is asked for again just when it was forgotten stays", async () => {
  const targets = new LiveTargets<Target>();
  const before = new WeakRef(targets.of("name", make));
  let again: Target | undefined;
  while (again === undefined) {
    await sleep(5);
    collect();
    // Nobody has been told yet that it is gone.
    if (before.deref() === undefined) again = targets.of("name", make);
  }
  await sleep(50);
  assert.equal(targets.of("name", make), again);
});
