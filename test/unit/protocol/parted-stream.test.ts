/** Streams in parts: what was written arrives, however the socket cuts it, and an end is one that was meant. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex, PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import fc from "fast-check";
import { asPart, PartedStream } from "../../../src/protocol/parted-stream.ts";

const COMPLETE = Buffer.alloc(4);

/** What a stream writes to its socket. */
async function written(parts: readonly Buffer[]): Promise<Buffer> {
  const sent: Buffer[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      sent.push(chunk);
      done();
    },
  });
  const stream = new PartedStream(socket, Buffer.alloc(0));
  for (const part of parts) stream.write(part);
  stream.end();
  await once(stream, "finish");
  return Buffer.concat(sent);
}

/** What is read of a socket that brings these bytes in pieces of a length. */
async function read(bytes: Buffer, pieceLength: number, begun = 0): Promise<Buffer> {
  const socket = new PassThrough();
  const stream = new PartedStream(socket, bytes.subarray(0, begun));
  const content = buffer(stream);
  for (let at = begun; at < bytes.length; at += pieceLength) socket.write(bytes.subarray(at, at + pieceLength));
  socket.end();
  return content;
}

test("parts of every length arrive as they were written, wherever the socket cuts them", async () => {
  const lengths = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(4095, 4096, 4097, 70_000)), {
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(lengths, fc.integer({ min: 1, max: 9 }), fc.nat(12), async (sizes, piece, begun) => {
      const parts = sizes.map((size, at) => Buffer.alloc(size, at + 1));
      const bytes = Buffer.concat([...parts.map(asPart), COMPLETE]);
      const pieces = bytes.length > 1000 ? piece * 1000 + 1 : piece;
      assert.deepEqual(await read(bytes, pieces, Math.min(begun, bytes.length)), Buffer.concat(parts));
    }),
    { numRuns: 60 },
  );
});

test("each write is one part behind its length, small or large, and the end is a part of none", async () => {
  for (const size of [1, 4096, 4097, 100_000]) {
    const part = Buffer.alloc(size, 7);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(size);
    assert.deepEqual(asPart(part), Buffer.concat([length, part]));
    assert.deepEqual(await written([part, part]), Buffer.concat([length, part, length, part, COMPLETE]));
  }
});

test("a socket that ends within a part, or without the last one, has broken off", async () => {
  const part = asPart(Buffer.from("hello"));
  for (const bytes of [part, part.subarray(0, 7), part.subarray(0, 2), Buffer.alloc(0)]) {
    await assert.rejects(read(bytes, 3), { code: "ECONNRESET" });
  }
});

test("a part that nobody sends ends the stream", async () => {
  await assert.rejects(read(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2]), 6), { message: "a part that is too long" });
});
