/** Who is let go when too many clients have not said who they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_STRANGERS } from "../../../src/server/ssh/limits.ts";
import { Strangers } from "../../../src/server/ssh/strangers.ts";

function stranger(address: string, dropped: string[], name = address): { address: string; drop: () => void } {
  return { address, drop: () => dropped.push(name) };
}

test("one more than there may be takes the place of the oldest of the address that has the most", () => {
  const [strangers, dropped] = [new Strangers(), [] as string[]];
  const early = stranger("192.0.2.1", dropped);
  strangers.add(early);
  for (let index = 1; index < MAX_STRANGERS; index++) strangers.add(stranger("192.0.2.66", dropped, `flood ${index}`));
  strangers.add(stranger("192.0.2.2", dropped));
  strangers.add(stranger("192.0.2.3", dropped));
  assert.deepEqual(dropped, ["flood 1", "flood 2"]);
  assert.equal(strangers.size, MAX_STRANGERS);
  strangers.remove(early);
  strangers.add(stranger("192.0.2.4", dropped));
  assert.equal(dropped.length, 2);
});

test("where all have as many, the oldest of all goes, and of none there is nobody to let go", () => {
  const [strangers, dropped] = [new Strangers(), [] as string[]];
  assert.equal(strangers.makeRoom(), false);
  const [first, second] = [stranger("192.0.2.1", dropped), stranger("192.0.2.2", dropped)];
  strangers.add(first);
  strangers.add(second);
  assert.equal(strangers.makeRoom(), true);
  assert.deepEqual(dropped, ["192.0.2.1"]);
  // It says itself that it is gone, later.
  strangers.remove(first);
  strangers.dropAll("the end");
  assert.deepEqual([dropped, strangers.size], [["192.0.2.1", "192.0.2.2"], 0]);
});
