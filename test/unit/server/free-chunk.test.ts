/** What a relay frees: memory that nobody else can have, of chunks that a socket has written. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, Socket, type AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { freeWhenWritten } from "../../../src/server/relay/free-chunk.ts";

function ownMemory(bytes: number): Buffer {
  return Buffer.from(new ArrayBuffer(bytes));
}

test("a chunk that is alone in its memory is freed once it is written", () => {
  const chunk = ownMemory(65_536);
  freeWhenWritten(chunk, new Socket())?.();
  assert.equal(chunk.buffer.byteLength, 0);
});

test("no part of a larger memory is freed, nothing small, and nothing for a stream that hands its chunks on", () => {
  const larger = ownMemory(65_536);
  for (const [chunk, target] of [
    [larger.subarray(0, 60_000), new Socket()],
    [larger.subarray(8), new Socket()],
    [ownMemory(100), new Socket()],
    [larger, new PassThrough()],
  ] as const) {
    assert.equal(freeWhenWritten(chunk, target), undefined);
  }
});

test("what a slow reader gets are the bytes as they were", async (t) => {
  const server = createServer((socket) => {
    for (let index = 0; index < 400; index++) {
      const chunk = ownMemory(65_536).fill(index % 251);
      socket.write(chunk, freeWhenWritten(chunk, socket));
    }
    socket.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  let at = 0;
  for await (const chunk of client as AsyncIterable<Buffer>) {
    for (const byte of chunk) if (byte !== Math.floor(at++ / 65_536) % 251) assert.fail(`byte ${at} is ${byte}`);
    if (at % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(at, 400 * 65_536);
});
