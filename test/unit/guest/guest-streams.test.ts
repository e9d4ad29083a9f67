/** Streams of the agent link: windows in both directions, ends, and what a hostile guest can make the host hold. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { buffer } from "node:stream/consumers";
import { finished, pipeline } from "node:stream/promises";
import { test } from "node:test";
import type { AgentLink } from "../../../src/guest/link.ts";
import { FRAME } from "../../../src/protocol/agent-frames.ts";
import { type FakeAgent, openFakeLink, present } from "./fake-agent.ts";

const KIB = 1024;
const WINDOW = 256 * KIB;

/** Names the streams in a call, as they only exist from then on. */
async function announce(link: AgentLink, agent: FakeAgent, ids: { read?: number; write?: number }, n = 0): Promise<number> {
  const call = link.call("exec", {
    argv: ["x"],
    env: {},
    cwd: "/",
    user: "app",
    pty: null,
    stdin: ids.write ?? null,
    stdout: ids.read ?? null,
    stderr: null,
  });
  call.catch(() => undefined);
  return (await agent.call(n)).id;
}

function creditOf(agent: FakeAgent, id: number): number {
  return agent.seen
    .filter((frame) => frame.type === FRAME.credit && frame.id === id)
    .reduce((sum, frame) => sum + frame.payload.readUInt32LE(0), 0);
}

test("bytes of the guest come out in order and END ends the stream", async () => {
  const { link, agent } = await openFakeLink();
  const readable = link.openReadable();
  await announce(link, agent, { read: readable.streamId });
  for (const text of ["one ", "two ", "three"]) agent.send(FRAME.data, readable.streamId, Buffer.from(text));
  agent.send(FRAME.end, readable.streamId);
  assert.equal((await buffer(readable)).toString(), "one two three");
});

test("FAIL is an AgentError that comes after the bytes before it", async () => {
  const { link, agent } = await openFakeLink();
  const readable = link.openReadable();
  await announce(link, agent, { read: readable.streamId });
  agent.send(FRAME.data, readable.streamId, Buffer.from("part"));
  agent.sendJson(FRAME.fail, readable.streamId, { code: "EIO", message: "disk on fire" });
  const seen: string[] = [];
  const reading = (async () => {
    for await (const chunk of readable) seen.push(String(chunk));
  })();
  await assert.rejects(reading, { name: "AgentError", code: "EIO", message: "disk on fire" });
  assert.deepEqual(seen, ["part"]);
});

test("credit is given only for what was consumed", async () => {
  const { link, agent } = await openFakeLink();
  const readable = link.openReadable();
  const { streamId } = readable;
  await announce(link, agent, { read: streamId });
  agent.send(FRAME.data, streamId, Buffer.alloc(WINDOW));
  // A call and its answer: all that came before has been handled.
  await roundTrip(link, agent, 1);
  assert.equal(creditOf(agent, streamId), 0);
  readable.resume();
  await agent.until(() => creditOf(agent, streamId) >= WINDOW);
});

test("a byte beyond the window ends the link", async () => {
  const { link, agent } = await openFakeLink();
  const readable = link.openReadable();
  await announce(link, agent, { read: readable.streamId });
  agent.send(FRAME.data, readable.streamId, Buffer.alloc(WINDOW));
  agent.send(FRAME.data, readable.streamId, Buffer.alloc(1));
  assert.match(String((await link.closed)?.message), /1 bytes too many on stream 1/);
});

test("a stream that carries much gets a larger window, and the sum of them is bounded", async () => {
  const { link, agent } = await openFakeLink();
  const grants: number[] = [];
  for (let i = 0; i < 80; i++) {
    const readable = link.openReadable();
    const { streamId } = readable;
    await announce(link, agent, { read: streamId }, i);
    readable.resume();
    agent.send(FRAME.data, streamId, Buffer.alloc(WINDOW));
    await agent.until(() => creditOf(agent, streamId) >= WINDOW);
    grants.push(creditOf(agent, streamId) - WINDOW);
  }
  assert.equal(grants[0], 768 * KIB);
  assert.equal(grants.at(-1), 0);
  assert.ok(grants.reduce((a, b) => a + b) <= 48 * KIB * KIB);
});

test("a stream of single bytes that nobody reads costs about its length", async () => {
  const { link, agent } = await openFakeLink();
  const readable = link.openReadable();
  await announce(link, agent, { read: readable.streamId });
  const frame = Buffer.from([1, 0, 0, 0, FRAME.data, 0, 0, 0, readable.streamId, 0, 0, 0, 65]);
  const chunk = Buffer.alloc(frame.length * 1024, frame);
  for (let i = 0; i < 256; i++) agent.raw(chunk);
  await roundTrip(link, agent, 1);
  const pieces: Buffer[] = [];
  agent.send(FRAME.end, readable.streamId);
  for await (const piece of readable) pieces.push(piece as Buffer);
  assert.equal(Buffer.concat(pieces).length, WINDOW);
  assert.ok(pieces.length < 40, `${pieces.length} pieces`);
  assert.ok(new Set(pieces.map((piece) => piece.buffer)).size < 40);
});

test("destroying a readable sends STOP, and what is still under way is ignored", async () => {
  const { link, agent } = await openFakeLink();
  const readable = link.openReadable();
  await announce(link, agent, { read: readable.streamId });
  readable.destroy();
  await agent.frame((frame) => frame.type === FRAME.stop && frame.id === readable.streamId);
  agent.send(FRAME.data, readable.streamId, Buffer.alloc(256 * KIB));
  agent.send(FRAME.data, readable.streamId, Buffer.alloc(256 * KIB));
  agent.send(FRAME.end, readable.streamId);
  await roundTrip(link, agent, 1);
});

test("the guest never hears of a stream that no call has named", async () => {
  const { link, agent } = await openFakeLink();
  link.openReadable().destroy();
  link.openWritable().destroy();
  const writable = link.openWritable();
  writable.end("early");
  await roundTrip(link, agent, 0);
  assert.deepEqual(
    agent.seen.map((frame) => frame.type),
    [FRAME.hello, FRAME.call],
  );
  await announce(link, agent, { write: writable.streamId }, 1);
  await agent.frame((frame) => frame.type === FRAME.end && frame.id === writable.streamId);
  assert.equal(agent.dataOf(writable.streamId).toString(), "early");
});

test("an empty stream that was ended before its call is ended after it", async () => {
  const { link, agent } = await openFakeLink();
  const writable = link.openWritable();
  writable.end();
  await announce(link, agent, { write: writable.streamId });
  await agent.frame((frame) => frame.type === FRAME.end && frame.id === writable.streamId);
});

test("a writable never exceeds the window that the guest granted", async () => {
  const { link, agent } = await openFakeLink();
  const writable = link.openWritable();
  const { streamId } = writable;
  await announce(link, agent, { write: streamId });
  const bytes = Buffer.alloc(700 * KIB, "abcdefg");
  writable.end(bytes);
  await agent.until(() => agent.dataOf(streamId).length >= WINDOW);
  await roundTrip(link, agent, 1);
  assert.equal(agent.dataOf(streamId).length, WINDOW);
  agent.raw(credit(streamId, 1));
  await agent.until(() => agent.dataOf(streamId).length > WINDOW);
  await roundTrip(link, agent, 2);
  assert.equal(agent.dataOf(streamId).length, WINDOW + 1);
  agent.raw(credit(streamId, 700 * KIB));
  await agent.frame((frame) => frame.type === FRAME.end && frame.id === streamId);
  assert.ok(agent.dataOf(streamId).equals(bytes));
});

test("one writable without window does not hold up another, nor a call", async () => {
  const { link, agent } = await openFakeLink();
  const stuck = link.openWritable();
  const free = link.openWritable();
  await announce(link, agent, { write: stuck.streamId });
  await announce(link, agent, { write: free.streamId }, 1);
  stuck.write(Buffer.alloc(2 * WINDOW));
  free.end("through");
  await agent.frame((frame) => frame.type === FRAME.end && frame.id === free.streamId);
  assert.equal(agent.dataOf(free.streamId).toString(), "through");
  await roundTrip(link, agent, 2);
});

test("STOP of the guest fails the writer with EPIPE and nothing more is sent", async () => {
  const { link, agent } = await openFakeLink();
  const writable = link.openWritable();
  const { streamId } = writable;
  await announce(link, agent, { write: streamId });
  writable.write(Buffer.alloc(2 * WINDOW));
  await agent.until(() => agent.dataOf(streamId).length === WINDOW);
  agent.send(FRAME.stop, streamId);
  await assert.rejects(finished(writable), { code: "EPIPE" });
  agent.raw(credit(streamId, WINDOW));
  const before = agent.seen.length;
  await roundTrip(link, agent, 1);
  assert.deepEqual(agent.seen.slice(before).map((frame) => frame.type), [FRAME.call]);
});

test("destroying a writable with an error sends FAIL with code and message", async () => {
  const { link, agent } = await openFakeLink();
  const writable = link.openWritable();
  await announce(link, agent, { write: writable.streamId });
  writable.destroy(new Error("source broke"));
  const frame = await agent.frame((seen) => seen.type === FRAME.fail);
  assert.deepEqual(JSON.parse(frame.payload.toString()), { code: "EIO", message: "source broke" });
});

test("a call that fails takes its streams with it", async () => {
  const { link, agent } = await openFakeLink();
  const readable = link.openReadable();
  const writable = link.openWritable();
  const failures = [once(readable, "error"), once(writable, "error")];
  const id = await announce(link, agent, { read: readable.streamId, write: writable.streamId });
  agent.sendJson(FRAME.reply, id, { error: { code: "ENOENT", message: "no such program" } });
  for (const failure of failures) assert.equal(((await failure)[0] as { code: string }).code, "ENOENT");
});

test("the guest may not produce on a stream of the host's, nor grant on one of its own", async () => {
  for (const [kind, type, message] of [
    ["write", FRAME.data, /DATA on stream 1, which the host produces/],
    ["write", FRAME.end, /END on stream 1 of the host's/],
    ["read", FRAME.credit, /CREDIT on stream 1 of the guest's/],
    ["read", FRAME.stop, /STOP on stream 1 of the guest's/],
  ] as const) {
    const { link, agent } = await openFakeLink();
    const stream = kind === "read" ? link.openReadable() : link.openWritable();
    await announce(link, agent, { [kind]: stream.streamId });
    agent.send(type, stream.streamId, type === FRAME.data || type === FRAME.credit ? Buffer.alloc(4, 1) : undefined);
    assert.match(String((await link.closed)?.message), message);
  }
});

test("credit beyond reason ends the link", async () => {
  const { link, agent } = await openFakeLink();
  const writable = link.openWritable();
  await announce(link, agent, { write: writable.streamId });
  for (let i = 0; i < 300; i++) agent.raw(credit(writable.streamId, 0xffff_ffff));
  assert.match(String((await link.closed)?.message), /too much credit/);
});

test("64 MiB echoed through both directions arrive unchanged", async () => {
  const { link, agent } = await openFakeLink();
  const readable = link.openReadable();
  const writable = link.openWritable();
  await announce(link, agent, { read: readable.streamId, write: writable.streamId });
  const echo = echoFrames(agent, writable.streamId, readable.streamId);
  const block = Buffer.alloc(192 * KIB);
  for (let i = 0; i < block.length; i += 4) block.writeUInt32LE(i * 2654435761 >>> 0, i);
  const total = 64 * KIB * KIB;
  const sending = pipeline(function* () {
    for (let sent = 0; sent < total; sent += block.length) yield block;
  }, writable);
  let at = 0;
  for await (const chunk of readable) {
    const bytes = chunk as Buffer;
    const expected = at % block.length;
    if (expected + bytes.length <= block.length) {
      assert.ok(bytes.equals(block.subarray(expected, expected + bytes.length)), `at ${at}`);
    }
    at += bytes.length;
  }
  await sending;
  await echo;
  assert.ok(at >= total);
});

/** Sends back what comes in on `from`, within the host's window, and credits it. */
async function echoFrames(agent: FakeAgent, from: number, to: number): Promise<void> {
  let window = WINDOW;
  for (;;) {
    await agent.until(() => agent.seen.length > 0);
    const frame = present(agent.seen.shift());
    if (frame.type === FRAME.credit && frame.id === to) window += frame.payload.readUInt32LE(0);
    if (frame.type === FRAME.data && frame.id === from) {
      while (window < frame.payload.length) {
        await agent.until(() => agent.seen.some((f) => f.type === FRAME.credit && f.id === to));
        const at = agent.seen.findIndex((f) => f.type === FRAME.credit && f.id === to);
        window += present(agent.seen.splice(at, 1)[0]).payload.readUInt32LE(0);
      }
      window -= frame.payload.length;
      agent.send(FRAME.data, to, frame.payload);
      agent.raw(credit(from, frame.payload.length));
    }
    if (frame.type === FRAME.end && frame.id === from) {
      agent.send(FRAME.end, to);
      return;
    }
  }
}

function credit(id: number, bytes: number): Buffer {
  const frame = Buffer.alloc(16);
  frame.writeUInt32LE(4, 0);
  frame.writeUInt8(FRAME.credit, 4);
  frame.writeUInt32LE(id, 8);
  frame.writeUInt32LE(bytes, 12);
  return frame;
}

async function roundTrip(link: AgentLink, agent: FakeAgent, n: number): Promise<void> {
  const call = link.call("sync", {});
  agent.sendJson(FRAME.reply, (await agent.call(n)).id, { ok: null });
  await call;
}

test("who writes is told each chunk when its bytes may be changed, and not before", async () => {
  const { link, agent } = await openFakeLink();
  const writable = link.openWritable();
  const told: string[] = [];
  writable.onWritten = (chunk) => told.push(String(chunk));
  for (const text of ["one", "two", "three"]) writable.write(text);
  await new Promise(setImmediate);
  assert.deepEqual(told, []);
  await announce(link, agent, { write: writable.streamId });
  writable.end();
  await finished(writable);
  assert.deepEqual(told, ["one", "two", "three"]);
});
