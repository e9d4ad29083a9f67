/** Memory of stream frames is given back early only where nothing else can lie in it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeBinaryFrame, encodeBinaryFrame } from "../../../src/protocol/binary-frames.ts";
import { freeFrame } from "../../../src/supervisor/rpc/free-frame.ts";

/** A message in memory of its own, as `ws` puts together what came in several reads. */
function ownMessage(payloadBytes: number): Buffer {
  const message = encodeBinaryFrame(1, Buffer.alloc(payloadBytes, 7));
  const own = Buffer.allocUnsafeSlow(message.length);
  own.set(message);
  return own;
}

test("the payload of a message that is alone in its memory is freed", () => {
  const { payload } = decodeBinaryFrame(ownMessage(100_000));
  freeFrame(payload);
  assert.equal(payload.buffer.byteLength, 0);
  assert.equal(payload.length, 0);
});

test("memory that holds more than the message is left alone", () => {
  const message = ownMessage(1000);
  const behind = Buffer.allocUnsafeSlow(message.length + 1);
  behind.set(message);
  const before = Buffer.allocUnsafeSlow(message.length + 1);
  before.set(message, 1);
  for (const view of [behind.subarray(0, message.length), before.subarray(1)]) {
    const { payload } = decodeBinaryFrame(view);
    freeFrame(payload);
    assert.deepEqual(payload, Buffer.alloc(1000, 7));
  }
});

test("a buffer of Node's pool and an empty payload are left alone", () => {
  const pooled = Buffer.from("a few bytes");
  freeFrame(pooled);
  freeFrame(Buffer.alloc(0));
  assert.equal(pooled.toString(), "a few bytes");
});
