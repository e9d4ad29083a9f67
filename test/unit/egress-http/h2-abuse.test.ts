/** HTTP/2 peers that want the host's memory and time: what they get is counted, and it ends. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { RequestTarget } from "../../../src/policy/spec.ts";
import { ask, closed, openH2, readH2 } from "./clients.ts";
import {
  field,
  FLAG,
  type Frame,
  frame,
  getBlock,
  PREFACE,
  readFrames,
  reset,
  SETTINGS,
  SETTINGS_ACK,
  TYPE,
} from "./h2-frames.ts";
import { ALLOW, type Harness, HOST, startHarness } from "./harness.ts";
import { httpsServer, rawServer, type TestServer } from "./servers.ts";

/** RFC 9113, 6.5.2. */
const SETTINGS_ENABLE_PUSH = 2;
const HEAD = FLAG.endHeaders | FLAG.endStream;

/** A guest that never acknowledges what the host's SETTINGS ask for. */
async function rawGuest(harness: Harness): Promise<{ socket: Socket; frames: Frame[]; ended: Promise<void> }> {
  const socket = await harness.connect(["h2"]);
  const frames: Frame[] = [];
  const ended = closed(socket);
  readFrames(socket, (received) => frames.push(received));
  socket.write(Buffer.concat([PREFACE, SETTINGS]));
  return { socket, frames, ended };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function get(stream: number, more: readonly Buffer[] = []): Buffer {
  return frame(TYPE.headers, HEAD, stream, Buffer.concat([getBlock(HOST), ...more]));
}

async function deaf(): Promise<TestServer> {
  return httpsServer(() => undefined);
}

test("streams that are opened and reset at once (CVE-2023-44487) end the connection, and leave nothing under way", async () => {
  await using upstream = await httpsServer((_request, response) => response.end());
  let decisions = 0;
  const decide = async (): Promise<typeof ALLOW> => {
    decisions++;
    await new Promise((resolve) => setTimeout(resolve, 10));
    return ALLOW;
  };
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { exchanges: 50 }, decide });
  const { socket, ended } = await rawGuest(harness);
  for (let at = 0; at < 20_000 && !socket.destroyed; at += 100) {
    const many = Array.from({ length: 100 }, (_, index) => 2 * (at + index) + 1);
    socket.write(Buffer.concat(many.flatMap((stream) => [get(stream), reset(stream, 8)])));
    await new Promise(setImmediate);
  }
  await ended;
  assert.ok(decisions < 2000, `${decisions} requests were looked at`);
  // None of them has its place still.
  const asked = Array.from({ length: 50 }, () => ask(harness, "/"));
  for (const { status } of await Promise.all(asked)) assert.equal(status, 200);
});

test("requests too many that are reset at that moment are nobody's error", async () => {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", onUnhandled);
  try {
    await using upstream = await deaf();
    await using harness = await startHarness({ upstreamPort: upstream.port, limits: { exchanges: 1 } });
    const { socket } = await rawGuest(harness);
    socket.write(get(1));
    await until(() => upstream.sockets.size > 0);
    const many = Array.from({ length: 90 }, (_, index) => 2 * index + 3);
    socket.write(Buffer.concat(many.flatMap((stream) => [get(stream), reset(stream, 8)])));
    await harness.settled("request", 90);
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
  } finally {
    process.off("unhandledRejection", onUnhandled);
  }
  assert.deepEqual(unhandled, []);
});

test("more streams than are allowed at a time are refused, whether or not the guest acknowledges that", async () => {
  await using upstream = await deaf();
  const seen: RequestTarget[] = [];
  await using harness = await startHarness({
    upstreamPort: upstream.port,
    limits: { streamsPerConnection: 10 },
    decide: (target) => {
      seen.push(target);
      return ALLOW;
    },
  });
  const { socket, frames } = await rawGuest(harness);
  const many = Array.from({ length: 50 }, (_, index) => 2 * index + 1);
  socket.write(Buffer.concat(many.map((stream) => get(stream))));
  await until(() => frames.filter(({ type }) => type === TYPE.rst || type === TYPE.goaway).length > 0);
  await until(() => socket.destroyed || frames.filter(({ type }) => type === TYPE.rst).length >= 40);
  assert.ok(seen.length <= 10, `${seen.length} requests were looked at`);
  socket.destroy();
});

for (const [what, references] of [
  ["above the limit in bytes", 400],
  ["above the limit in lines", 12_000],
] as const) {
  test(`a small head that unpacks to a large one, ${what}, is refused before anyone looks at it`, async () => {
    await using upstream = await deaf();
    let decisions = 0;
    const decide = (): typeof ALLOW => {
      decisions++;
      return ALLOW;
    };
    await using harness = await startHarness({ upstreamPort: upstream.port, decide });
    const { socket, frames } = await rawGuest(harness);
    // 62: what was put into the table last.
    const bomb = [field("x", "y".repeat(3900), true), Buffer.alloc(references, 0x80 | 62)];
    socket.write(
      get(
        1,
        [Buffer.concat(bomb)].map((bytes) => bytes.subarray(0, 16_000)),
      ),
    );
    await until(() => frames.some(({ type, stream }) => stream === 1 || type === TYPE.goaway));
    assert.equal(decisions, 0);
    socket.destroy();
  });
}

test("trailers that unpack to large ones break the request off", async () => {
  await using upstream = await httpsServer((request, response) => {
    request.resume().on("end", () => response.end());
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const { socket, frames } = await rawGuest(harness);
  const head = Buffer.concat([getBlock(HOST), field("x", "y".repeat(3900), true)]);
  head[0] = 0x83; // POST
  socket.write(frame(TYPE.headers, FLAG.endHeaders, 1, head));
  socket.write(frame(TYPE.headers, HEAD, 1, Buffer.alloc(400, 0x80 | 62)));
  await until(() => frames.some(({ stream }) => stream === 1));
  assert.deepEqual(
    frames.filter(({ stream }) => stream === 1).map(({ type }) => type),
    [TYPE.rst],
  );
  socket.destroy();
});

test("a head that never ends (CONTINUATION after CONTINUATION) ends the connection", async () => {
  await using upstream = await deaf();
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const { socket, ended } = await rawGuest(harness);
  let sent = 0;
  socket.write(frame(TYPE.headers, FLAG.endStream, 1, getBlock(HOST)));
  for (; sent < 10_000 && !socket.destroyed; sent++) {
    socket.write(frame(TYPE.more, 0, 1, field(`x-${sent}`, "y".repeat(100))));
    if (sent % 100 === 0) await new Promise(setImmediate);
  }
  await ended;
  assert.equal(harness.dials.length, 0);
});

test("answers that nobody reads, to PING after PING, end the connection", async () => {
  await using upstream = await deaf();
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const socket = await harness.connect(["h2"]);
  const ended = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => undefined).pause();
  socket.write(Buffer.concat([PREFACE, SETTINGS]));
  const pings = Buffer.concat(Array.from({ length: 4096 }, () => frame(TYPE.ping, 0, 0, Buffer.alloc(8))));
  for (let sent = 0; sent < 1000 && !socket.destroyed; sent++) {
    if (!socket.write(pings)) await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), ended]);
  }
  await ended;
});

/** Answers the request on stream 1 with these frames. */
async function rawUpstream(answer: readonly Buffer[], onFrame: (frame: Frame) => void): Promise<TestServer> {
  const accept = (socket: Socket): void => {
    const onReceived = (received: Frame): void => {
      onFrame(received);
      if (received.type === TYPE.headers) socket.write(Buffer.concat(answer));
    };
    socket.write(SETTINGS);
    readFrames(socket, onReceived, PREFACE.length);
  };
  return rawServer(true, accept, "h2");
}

function push(promised: number): Buffer {
  const id = Buffer.alloc(4);
  id.writeUInt32BE(promised);
  return frame(TYPE.push, FLAG.endHeaders, 1, Buffer.concat([id, getBlock(HOST)]));
}

test("an upstream is told that nothing may be pushed; one that has acknowledged that and pushes has failed", async () => {
  const received: Frame[] = [];
  await using upstream = await rawUpstream([SETTINGS_ACK, push(2)], (one) => received.push(one));
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const { headers } = await readH2(session.request({ ":path": "/", ":authority": HOST }));
  assert.equal(headers[":status"], 502);
  session.destroy();
  await until(() => harness.dials[0]?.socket.destroyed === true);
  const settings = received.find(({ type, flags }) => type === TYPE.settings && flags === 0);
  assert.equal(settingOf(settings, SETTINGS_ENABLE_PUSH), 0);
});

test("what is pushed before that is refused stream by stream", async () => {
  const received: Frame[] = [];
  const pushes = Array.from({ length: 100 }, (_, index) => push(2 * index + 2));
  const answer = frame(TYPE.headers, HEAD, 1, Buffer.from([0x88]));
  await using upstream = await rawUpstream([...pushes, answer], (one) => received.push(one));
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const session = await openH2(harness);
  const { headers } = await readH2(session.request({ ":path": "/", ":authority": HOST }));
  assert.equal(headers[":status"], 200);
  await until(() => received.filter(({ type, stream }) => type === TYPE.rst && stream % 2 === 0).length === 100);
  session.destroy();
});

function settingOf(settings: Frame | undefined, id: number): number | undefined {
  const payload = settings?.payload ?? Buffer.alloc(0);
  for (let at = 0; at < payload.length; at += 6)
    if (payload.readUInt16BE(at) === id) return payload.readUInt32BE(at + 2);
  return undefined;
}

test("a response's head that unpacks to a large one is refused, and one in its trailers breaks it off", async () => {
  const large = field("x", "y".repeat(3900), true);
  const bomb = Buffer.alloc(400, 0x80 | 62);
  const status = Buffer.from([0x88]);
  await using heads = await rawUpstream(
    [frame(TYPE.headers, HEAD, 1, Buffer.concat([status, large, bomb]))],
    () => undefined,
  );
  await using one = await startHarness({ upstreamPort: heads.port });
  const first = await openH2(one);
  assert.equal((await readH2(first.request({ ":path": "/", ":authority": HOST }))).headers[":status"], 502);
  first.destroy();
  await using trailers = await rawUpstream(
    [
      frame(TYPE.headers, FLAG.endHeaders, 1, Buffer.concat([status, large])),
      frame(TYPE.data, 0, 1, Buffer.from("body")),
      frame(TYPE.headers, HEAD, 1, bomb),
    ],
    () => undefined,
  );
  await using two = await startHarness({ upstreamPort: trailers.port });
  const second = await openH2(two);
  await assert.rejects(readH2(second.request({ ":path": "/", ":authority": HOST })));
  second.destroy();
});
