/** The lifecycle's table: every pair of statuses, so that a new step has to be written down here as well. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { isLive, type RecordedStatus, sourcesOf } from "../../../src/store/lifecycle.ts";

const STATUSES: RecordedStatus[] = ["creating", "running", "stopping", "stopped", "failed"];

const ALLOWED = [
  "creating>running",
  "creating>stopping",
  "creating>stopped",
  "creating>failed",
  "running>stopping",
  "running>stopped",
  "stopping>stopped",
];

for (const from of STATUSES) {
  for (const to of STATUSES) {
    const allowed = ALLOWED.includes(`${from}>${to}`);
    test(`a sandbox ${allowed ? "may" : "may not"} go from ${from} to ${to}`, () => {
      assert.equal(sourcesOf(to).includes(from), allowed);
    });
  }
}

test("a sandbox is live until it is stopped or failed", () => {
  assert.deepEqual(STATUSES.filter(isLive), ["creating", "running", "stopping"]);
});
