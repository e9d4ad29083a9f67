/** Messages with stream data, in buffers that are used again: none changes before it has left. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { MAX_STREAM_ID } from "../../../src/protocol/rpc-limits.ts";
import { FramePool } from "../../../src/supervisor/rpc/frame-pool.ts";

interface Enqueue {
  method: string;
  params: { streamId: number; data: string };
}

function read(message: Buffer): Enqueue {
  return JSON.parse(message.toString("utf8")) as Enqueue;
}

test("a text message holds its stream's id and all of its bytes, however many", () => {
  const pool = new FramePool("text");
  for (const bytes of [1, 2, 3, 100, 65_535, 65_536, 65_537, 300_000]) {
    const payload = randomBytes(bytes);
    const { message, release } = pool.encodeText(MAX_STREAM_ID, payload);
    const { method, params } = read(message);
    assert.deepEqual(
      [method, params.streamId, params.data],
      ["$sandbox.stream.enqueue", MAX_STREAM_ID, payload.toString("base64")],
    );
    release();
  }
});

test("a message stays as it is until it is released, and its memory is then used again", () => {
  const pool = new FramePool("text");
  const first = pool.encodeText(0, Buffer.from("first"));
  const second = pool.encodeText(1, Buffer.from("second"));
  assert.equal(read(first.message).params.data, Buffer.from("first").toString("base64"));
  first.release();
  const third = pool.encodeText(2, Buffer.from("third"));
  assert.equal(third.message.buffer, first.message.buffer);
  assert.equal(read(second.message).params.data, Buffer.from("second").toString("base64"));
});
