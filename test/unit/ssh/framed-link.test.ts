/** Messages in frames: whole whatever the cut, bounded, and with last words. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { FramedLink, MAX_FRAME_BYTES } from "../../../src/ssh/framed-link.ts";
import { MAX_UNSENT_BYTES } from "../../../src/ssh/limits.ts";
import { encodePayload, MSG } from "../../../src/ssh/payload.ts";

interface End {
  link: FramedLink;
  messages: Buffer[];
  ends: (Error | undefined)[];
}

function openEnd(socket: Duplex): End {
  const [messages, ends] = [[] as Buffer[], [] as (Error | undefined)[]];
  const link = new FramedLink(socket, {
    onMessage: (payload) => messages.push(Buffer.from(payload)),
    onEnd: (error) => ends.push(error),
  });
  return { link, messages, ends };
}

function frame(payload: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(payload.length);
  return Buffer.concat([head, payload]);
}

test("messages arrive whole and in order, wherever their bytes are cut", async () => {
  const payloads = [Buffer.of(1), Buffer.alloc(MAX_FRAME_BYTES, 2), Buffer.from("three"), Buffer.alloc(300, 4)];
  const bytes = Buffer.concat(payloads.map(frame));
  for (const size of [1, 3, 4, 5, 7, 4096, bytes.length]) {
    const [ours, theirs] = duplexPair();
    const { messages } = openEnd(theirs);
    for (let at = 0; at < bytes.length; at += size) {
      if (!ours.write(bytes.subarray(at, at + size))) await once(ours, "drain");
    }
    while (messages.length < payloads.length) await turn();
    assert.deepEqual(messages, payloads);
  }
});

test("what one end sends is what the other receives, and a goodbye is the last of it", async () => {
  const [ours, theirs] = duplexPair();
  const [mine, other] = [openEnd(ours), openEnd(theirs)];
  mine.link.send(Buffer.from("head"), Buffer.from(" and more"));
  mine.link.disconnect(11, "the end");
  mine.link.send(Buffer.from("too late"));
  while (other.ends.length === 0) await turn();
  const goodbye = encodePayload(MSG.disconnect, 11, "the end", "");
  assert.deepEqual(other.messages, [Buffer.from("head and more"), goodbye]);
  assert.deepEqual([mine.ends, other.ends], [[undefined], [undefined]]);
});

test("a frame of nothing, and one beyond the bound, end the connection, and nothing behind them is heard", async () => {
  for (const length of [0, MAX_FRAME_BYTES + 1, 0xffff_ffff]) {
    const [ours, theirs] = duplexPair();
    const { messages, ends, link } = openEnd(theirs);
    ours.on("error", () => undefined);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    ours.write(Buffer.concat([frame(Buffer.of(9)), head, frame(Buffer.of(8))]));
    while (ends.length === 0) await turn();
    assert.deepEqual(messages, [Buffer.of(9)]);
    assert.match(ends[0]?.message ?? "", /a frame of \d+ bytes/);
    assert.ok(link.isOver);
  }
});

test("a paused link takes nothing more, and one that is full says so until there is room again", async () => {
  const [ours, theirs] = duplexPair();
  const [mine, other] = [openEnd(ours), openEnd(theirs)];
  other.link.pause();
  let sent = 0;
  while (mine.link.hasRoom) {
    mine.link.send(Buffer.alloc(32 * 1024));
    sent += 1;
    await turn();
  }
  const order: string[] = [];
  const writable = mine.link.writable().then(() => order.push("room"));
  await turn();
  order.push("resumed");
  other.link.resume();
  await writable;
  assert.deepEqual(order, ["resumed", "room"]);
  while (other.messages.length < sent) await turn();
});

test("who causes messages and reads none is let go before they take the memory", async () => {
  const [ours] = duplexPair();
  const { link, ends } = openEnd(ours);
  for (let bytes = 0; bytes <= MAX_UNSENT_BYTES; bytes += 32 * 1024) link.send(Buffer.alloc(32 * 1024));
  assert.match(ends[0]?.message ?? "", /reads too slowly/);
  assert.ok(ours.destroyed);
});
