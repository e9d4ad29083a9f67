/** The state that QEMU saves of a machine that stays is completed to one that another QEMU takes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { toIncomingState } from "../../../src/vm/device-state.ts";

const HEADER = Buffer.from("5145564d00000003", "hex");
/** A section of a device, as far as this part of sbx looks. */
const DEVICES = Buffer.from([4, 0, 0, 0, 1, 5, ..."timer".split("").map((c) => c.charCodeAt(0)), 0]);

test("the configuration comes before the devices and the description after the end", () => {
  const state = toIncomingState(Buffer.concat([HEADER, DEVICES]));
  const configuration = Buffer.concat([
    Buffer.from([7, 0, 0, 0, 7]),
    Buffer.from("microvm"),
    Buffer.from([5, 26]),
    Buffer.from("configuration/capabilities"),
    Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 15]),
    Buffer.from("x-ignore-shared"),
  ]);
  const description = Buffer.from([6, 0, 0, 0, 2, ..."{}".split("").map((c) => c.charCodeAt(0))]);
  assert.deepEqual(state, Buffer.concat([HEADER, configuration, DEVICES, description]));
});

for (const [what, bytes] of [
  ["nothing", Buffer.alloc(0)],
  ["a header alone", HEADER],
  ["another magic", Buffer.concat([Buffer.from("5145564e00000003", "hex"), DEVICES])],
  ["another version", Buffer.concat([Buffer.from("5145564d00000002", "hex"), DEVICES])],
  ["one that was cut off", Buffer.concat([HEADER, DEVICES.subarray(0, -1)])],
  ["one that has its configuration", toIncomingState(Buffer.concat([HEADER, DEVICES]))],
] as const) {
  test(`${what} is refused`, () => {
    assert.throws(() => toIncomingState(bytes), { code: "vm_start_failed" });
  });
}
