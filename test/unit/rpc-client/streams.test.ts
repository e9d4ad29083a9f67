/** Streams over the RPC: windows in both directions, ends, cancels, and memory that stays bounded. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { STREAM_WINDOW_BYTES } from "../../../src/protocol/rpc-limits.ts";
import { connectRpc, type RpcClient } from "../../../src/runtime/sandbox/rpc-client.ts";
import type { RpcReadable } from "../../../src/runtime/sandbox/rpc-stream.ts";
import { type FakeConnection, startFakeServer } from "./fake-server.ts";

/** A client and the server's end of its connection; both go with the test. */
async function connected(t: TestContext, extensions = true): Promise<{ client: RpcClient; peer: FakeConnection }> {
  const server = await startFakeServer({ extensions, methods: { envGet: () => "v" } });
  t.after(() => server[Symbol.asyncDispose]());
  const client = await connectRpc({ socketPath: server.socketPath });
  return { client, peer: server.connection };
}

/** Everything that was sent before has been handled when a call comes back. */
async function settled(client: RpcClient): Promise<void> {
  await client.call("envGet", { key: "a" });
}

const credits = (peer: FakeConnection, streamId: number): number =>
  peer.notifications.reduce(
    (sum, item) => sum + (item.method === "$sbx.stream.credit" && item.streamId === streamId ? item.bytes : 0),
    0,
  );

for (const extensions of [true, false]) {
  const kind = extensions ? "binary frames" : "base64";

  test(`${kind}: bytes arrive in order and whole, then the end`, async (t) => {
    const all = await connected(t, extensions);
    const { stream } = all.client.openReadable(9);
    const chunks = Array.from({ length: 200 }, (_, index) => Buffer.alloc(1 + ((index * 7919) % 60_000), index));
    const received = createHash("sha256");
    const reading = (async () => {
      for await (const chunk of stream as AsyncIterable<Buffer>) received.update(chunk);
    })();
    all.peer.start(9);
    await all.peer.sendWithin(9, chunks);
    all.peer.end(9);
    await reading;
    assert.equal(received.digest("hex"), createHash("sha256").update(Buffer.concat(chunks)).digest("hex"));
  });

  test(`${kind}: what is written arrives in order and whole, then the end`, async (t) => {
    const all = await connected(t, extensions);
    const stream = all.client.openWritable();
    const sent: Buffer[] = [];
    for (let index = 0; index < 100; index++) {
      const bytes = Buffer.alloc((index * 7919) % 90_000, index);
      sent.push(bytes);
      if (!stream.write(bytes)) await new Promise((resolve) => stream.once("drain", resolve));
    }
    stream.end();
    await all.peer.until(() => all.peer.saw("$sandbox.stream.end", stream.streamId));
    const received = all.peer.received.get(stream.streamId) ?? [];
    assert.ok(Buffer.concat(received).equals(Buffer.concat(sent)));
    assert.ok(received.every(({ length }) => length > 0 && length <= (extensions ? 256 : 64) * 1024));
    assert.equal(all.peer.notifications[0]?.method, "$sandbox.stream.start");
  });

  test(`${kind}: destroying a readable cancels it once, with a reason, and nothing follows`, async (t) => {
    const all = await connected(t, extensions);
    const { stream, received } = all.client.openReadable(9);
    all.peer.start(9);
    await all.peer.send(9, Buffer.from("x"));
    stream.destroy();
    await all.peer.until(() => all.peer.saw("$sandbox.stream.cancel", 9));
    await received;
    // Under way when the cancel was sent.
    await all.peer.send(9, Buffer.from("late"));
    all.peer.end(9);
    await settled(all.client);
    const cancels = all.peer.notifications.filter(({ method }) => method === "$sandbox.stream.cancel");
    assert.deepEqual(cancels, [
      {
        method: "$sandbox.stream.cancel",
        streamId: 9,
        reason: { constructorName: "Error", message: "no longer wanted" },
      },
    ]);
  });

  test(`${kind}: a stream that is cancelled before the server announces it stays cancelled`, async (t) => {
    const all = await connected(t, extensions);
    // More than may ever be announced without being asked for, so that a forgotten cancel would show.
    for (let id = 0; id < 300; id++) all.client.openReadable(id).stream.destroy();
    await all.peer.until(() => all.peer.saw("$sandbox.stream.cancel", 299));
    for (let id = 0; id < 300; id++) {
      all.peer.start(id);
      void all.peer.send(id, Buffer.alloc(1000));
      all.peer.end(id);
    }
    await settled(all.client);
    assert.equal(await Promise.race([all.client.closed, Promise.resolve("open")]), "open");
  });

  test(`${kind}: a stream's error comes after what was sent before it`, async (t) => {
    const all = await connected(t, extensions);
    const { stream } = all.client.openReadable(9);
    all.peer.start(9);
    await all.peer.send(9, Buffer.from("before"));
    const error = { constructorName: "BrokenPipe", message: "it broke", code: "EPIPE" };
    all.peer.notify({ method: "$sandbox.stream.error", streamId: 9, error });
    const seen: string[] = [];
    await assert.rejects(async () => {
      for await (const chunk of stream as AsyncIterable<Buffer>) seen.push(chunk.toString());
    }, /it broke/);
    assert.deepEqual(seen, ["before"]);
  });

  test(`${kind}: when the server reads no more, the writer gets EPIPE and nothing is sent after it`, async (t) => {
    const all = await connected(t, extensions);
    const stream = all.client.openWritable();
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => stream.once("error", resolve));
    stream.write("x");
    await all.peer.until(() => all.peer.received.has(stream.streamId));
    all.peer.notify({ method: "$sandbox.stream.cancel", streamId: stream.streamId, reason: null });
    assert.equal((await failed).code, "EPIPE");
    await settled(all.client);
    assert.equal(all.peer.saw("$sandbox.stream.end", stream.streamId), false);
    assert.equal(all.peer.saw("$sandbox.stream.error", stream.streamId), false);
  });

  test(`${kind}: a writer that gives up tells the server, with its reason`, async (t) => {
    const all = await connected(t, extensions);
    const stream = all.client.openWritable();
    stream.on("error", () => undefined);
    stream.destroy(new Error("no disk"));
    await all.peer.until(() => all.peer.saw("$sandbox.stream.error", stream.streamId));
    const told = all.peer.notifications.at(-1);
    assert.ok(told?.method === "$sandbox.stream.error");
    assert.equal(told.error?.message, "no disk");
  });

  test(`${kind}: when the connection goes, readers and writers fail`, async (t) => {
    const all = await connected(t, extensions);
    const { stream } = all.client.openReadable(9);
    const writer = all.client.openWritable();
    const writerFailed = new Promise<Error>((resolve) => writer.once("error", resolve));
    all.peer.start(9);
    await settled(all.client);
    all.peer.socket.terminate();
    await assert.rejects(stream.toArray(), /broke/);
    assert.match((await writerFailed).message, /broke/);
  });
}

test("the server may send one window, and more only as the consumer reads", async (t) => {
  const all = await connected(t);
  const { stream } = all.client.openReadable(9);
  all.peer.start(9);
  const chunk = Buffer.alloc(STREAM_WINDOW_BYTES / 4, 1);
  for (let index = 0; index < 4; index++) await all.peer.send(9, chunk);
  await settled(all.client);
  assert.equal(credits(all.peer, 9), 0);
  let read = 0;
  for await (const part of stream as AsyncIterable<Buffer>) {
    read += part.length;
    if (read >= STREAM_WINDOW_BYTES) break;
  }
  assert.ok(read >= STREAM_WINDOW_BYTES);
  await all.peer.until(() => credits(all.peer, 9) > 0 || all.peer.saw("$sandbox.stream.cancel", 9));
  assert.ok(credits(all.peer, 9) <= STREAM_WINDOW_BYTES);
});

test("a server that sends beyond the window is cut off", async (t) => {
  const all = await connected(t);
  all.client.openReadable(9).stream.on("error", () => undefined);
  all.peer.start(9);
  for (let index = 0; index < 5; index++) void all.peer.send(9, Buffer.alloc(STREAM_WINDOW_BYTES / 4, 1));
  const reason = await all.client.closed;
  assert.match(String(reason?.cause), /stream 9 exceeds its window/);
});

test("a consumer that sleeps on one stream holds up neither another stream nor a call", async (t) => {
  const all = await connected(t);
  const asleep = all.client.openReadable(1).stream;
  const awake = all.client.openReadable(2).stream;
  all.peer.start(1);
  all.peer.start(2);
  for (let index = 0; index < 4; index++) await all.peer.send(1, Buffer.alloc(STREAM_WINDOW_BYTES / 4, 1));
  await all.peer.send(2, Buffer.from("through"));
  all.peer.end(2);
  assert.equal(Buffer.concat(await awake.toArray()).toString(), "through");
  assert.equal(await all.client.call("envGet", { key: "a" }), "v");
  assert.equal(asleep.readableFlowing, null);
});

test("the client never sends more than it was granted", async (t) => {
  const all = await connected(t);
  all.peer.autoCredit = false;
  const stream = all.client.openWritable();
  const id = stream.streamId;
  const size = (): number => (all.peer.received.get(id) ?? []).reduce((sum, { length }) => sum + length, 0);
  stream.write(Buffer.alloc(3 * STREAM_WINDOW_BYTES, 1));
  stream.end();
  await all.peer.until(() => size() >= STREAM_WINDOW_BYTES);
  await settled(all.client);
  assert.equal(size(), STREAM_WINDOW_BYTES);
  all.peer.notify({ method: "$sbx.stream.credit", streamId: id, bytes: 1000 });
  await all.peer.until(() => size() > STREAM_WINDOW_BYTES);
  await settled(all.client);
  assert.equal(size(), STREAM_WINDOW_BYTES + 1000);
  assert.equal(all.peer.saw("$sandbox.stream.end", id), false);
  all.peer.notify({ method: "$sbx.stream.credit", streamId: id, bytes: 3 * STREAM_WINDOW_BYTES });
  await all.peer.until(() => all.peer.saw("$sandbox.stream.end", id));
  assert.equal(size(), 3 * STREAM_WINDOW_BYTES);
});

test("a chunk may be changed as soon as its write is done", async (t) => {
  const all = await connected(t);
  const stream = all.client.openWritable();
  const chunk = Buffer.alloc(400_000);
  for (let round = 1; round <= 30; round++) {
    chunk.fill(round);
    await new Promise((resolve) => stream.write(chunk, resolve));
    chunk.fill(0);
  }
  stream.end();
  await all.peer.until(() => all.peer.saw("$sandbox.stream.end", stream.streamId));
  const received = Buffer.concat(all.peer.received.get(stream.streamId) ?? []);
  const wanted = Buffer.concat(Array.from({ length: 30 }, (_, index) => Buffer.alloc(400_000, index + 1)));
  assert.ok(received.equals(wanted));
});

test("credit for a stream that does not exist, or no longer, is ignored", async (t) => {
  const all = await connected(t);
  all.peer.notify({ method: "$sbx.stream.credit", streamId: 77, bytes: 5 });
  all.peer.notify({ method: "$sandbox.stream.cancel", streamId: 77, reason: null });
  await settled(all.client);
});

test("data of a stream that nobody announced is dropped", async (t) => {
  const all = await connected(t);
  await all.peer.send(123, Buffer.from("x"));
  all.peer.end(123);
  await settled(all.client);
  assert.equal(await Promise.race([all.client.closed, Promise.resolve("open")]), "open");
});

test("streams that are announced and never asked for are bounded in number and in bytes", async (t) => {
  const many = await connected(t);
  for (let index = 0; index < 300; index++) many.peer.start(1000 + index);
  assert.match(String((await many.client.closed)?.cause), /nobody asked for/);
  const large = await connected(t);
  for (let index = 0; index < 10; index++) large.peer.start(index);
  for (let index = 0; index < 10; index++) {
    for (let part = 0; part < 4; part++) void large.peer.send(index, Buffer.alloc(STREAM_WINDOW_BYTES / 4, 1));
  }
  assert.match(String((await large.client.closed)?.cause), /nobody asked for/);
});

test("a stream that is announced and filled before the reply that names it is whole", async (t) => {
  const all = await connected(t);
  all.peer.start(9);
  await all.peer.send(9, Buffer.from("early"));
  all.peer.end(9);
  await settled(all.client);
  const { stream } = all.client.openReadable(9);
  assert.equal(Buffer.concat(await stream.toArray()).toString(), "early");
});

test("a stream id that is given out twice is refused", async (t) => {
  const all = await connected(t);
  all.client.openReadable(9).stream.on("error", () => undefined);
  assert.throws(() => all.client.openReadable(9), /given out twice/);
});

test("a window full of single bytes is kept in few objects", async (t) => {
  const all = await connected(t);
  const { stream } = all.client.openReadable(9);
  all.peer.start(9);
  for (let index = 0; index < 50_000; index++) void all.peer.send(9, Buffer.from([index & 255]));
  all.peer.end(9);
  await settled(all.client);
  let chunks = 0;
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    assert.equal(chunk[0], bytes & 255);
    chunks += 1;
    bytes += chunk.length;
  }
  assert.equal(bytes, 50_000);
  assert.ok(chunks < 1000, `${chunks} chunks`);
});

test("without credits a fast server is held back by not reading, so what waits stays bounded", async (t) => {
  const all = await connected(t, false);
  const { stream } = all.client.openReadable(9);
  all.peer.start(9);
  const chunk = Buffer.alloc(64 * 1024, 1);
  const total = 4000;
  let sent = 0;
  let stalled: Promise<void> | undefined;
  while (sent < total && stalled === undefined) {
    const state = { isSent: false };
    const sending = all.peer.send(9, chunk).then(() => {
      state.isSent = true;
    });
    sent += 1;
    // So much happens in these turns that a message which has not left by then will not leave by itself.
    for (let round = 0; round < 2000 && !state.isSent; round++) await turn();
    if (!state.isSent) stalled = sending;
  }
  assert.ok(sent * chunk.length < 100 * 1024 * 1024, `${sent} of ${total} chunks`);
  const reading = (async () => {
    let bytes = 0;
    for await (const part of stream as AsyncIterable<Buffer>) bytes += part.length;
    return bytes;
  })();
  await stalled;
  all.peer.end(9);
  assert.equal(await reading, sent * chunk.length);
});

test("a reader that ends early costs the server nothing more than its cancel", async (t) => {
  const all = await connected(t);
  const readers: RpcReadable[] = [];
  for (let id = 0; id < 50; id++) {
    readers.push(all.client.openReadable(id).stream);
    all.peer.start(id);
    all.peer.end(id);
  }
  for (const reader of readers) assert.deepEqual(await reader.toArray(), []);
  await settled(all.client);
  assert.equal(all.peer.notifications.length, 0);
});
