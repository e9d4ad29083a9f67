import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex, finished } from "node:stream";
import { describe, test } from "node:test";
import { ACK, FIN, PSH, RST, SYN } from "../../../fuzz/net-guest-frames.ts";
import { ScriptedGuest, settle } from "../../../fuzz/net-scripted-guest.ts";

describe("a flow that the guest ends first", () => {
  test("can still be written, and is over when the guest has acknowledged both", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    const ended = once(stream.resume(), "end");
    await end.send({ flags: FIN | ACK, data: Buffer.from("bye") });
    await ended;
    assert.equal(guest.takeSegment().ack, end.sequence);
    stream.write("still here");
    await settle();
    assert.equal(String(guest.takeSegment().data), "still here");
    stream.end("end");
    await settle();
    const last = guest.takeSegment();
    assert.deepEqual([last.flags, String(last.data)], [ACK | PSH | FIN, "end"]);
    assert.ok(!stream.writableFinished);
    end.ack = last.sequence + 4;
    await end.send({});
    assert.deepEqual([stream.writableFinished, stream.destroyed, stream.errored], [true, true, null]);
    assert.deepEqual([guest.take(), guest.stack.memory.connections, guest.stack.memory.flows], [[], 0, 0]);
  });
});

describe("a flow that the host ends first", () => {
  test("can still be read, waits in TIME_WAIT, and answers the guest's FIN again", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    stream.end();
    await settle();
    assert.equal(guest.takeSegment().flags, ACK | PSH | FIN);
    end.ack += 1;
    await end.send({ data: Buffer.from("late"), flags: ACK | PSH });
    assert.equal(String(stream.read()), "late");
    guest.take();
    await end.send({ flags: FIN | ACK });
    assert.equal(guest.takeSegment().ack, end.sequence);
    stream.resume();
    await settle();
    assert.deepEqual([stream.destroyed, guest.stack.memory.flows, guest.stack.memory.connections], [true, 0, 1]);
    await guest.send(end.frame({ sequence: end.sequence - 1, flags: FIN | ACK }));
    assert.equal(guest.takeSegment().ack, end.sequence);
    await guest.pass(2100);
    assert.equal(guest.stack.memory.connections, 0);
  });

  test("lets the guest use its port again, out of TIME_WAIT", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect({ sourcePort: 777 });
    stream.resume().end();
    await settle();
    end.ack += 1;
    await end.send({ flags: FIN | ACK });
    guest.take();
    const old = await guest.dial({ sourcePort: 777, sequence: end.sequence - 100 });
    assert.deepEqual([guest.flows.length, guest.takeSegment().flags], [1, ACK]);
    await guest.send(old.frame({ flags: RST }));
    const again = await guest.connect({ sourcePort: 777, sequence: end.sequence + 10 });
    assert.deepEqual([guest.flows.length, again.stream.destroyed], [2, false]);
  });

  test("repeats a FIN that was lost", async () => {
    using guest = new ScriptedGuest();
    const { stream } = await guest.connect();
    stream.end();
    await settle();
    const first = guest.takeSegment();
    await guest.pass(1100);
    assert.deepEqual(guest.takeSegment(), first);
  });

  test("keeps the FIN behind data that the guest's window has no room for", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect({ window: 1 });
    stream.end(Buffer.alloc(200));
    await settle();
    const first = guest.takeSegment();
    assert.deepEqual([first.data.length, first.flags & FIN], [128, 0]);
    end.ack += 128;
    await end.send({ window: 100 });
    const second = guest.takeSegment();
    assert.deepEqual([second.data.length, second.flags & FIN], [72, FIN]);
  });
});

test("both may end at the same time", async () => {
  using guest = new ScriptedGuest();
  const { end, stream } = await guest.connect();
  stream.resume().end();
  await settle();
  guest.take();
  await end.send({ flags: FIN | ACK });
  assert.equal(guest.takeSegment().ack, end.sequence);
  assert.ok(!stream.destroyed);
  end.ack += 1;
  await end.send({});
  assert.deepEqual([stream.destroyed, stream.errored, guest.stack.memory.connections], [true, null, 1]);
});

test("a FIN in front of which something is missing waits for it", async () => {
  using guest = new ScriptedGuest();
  const { end, stream } = await guest.connect();
  const start = end.sequence;
  let text = "";
  stream.on("data", (data: Buffer) => (text += String(data)));
  const ended = once(stream, "end");
  await guest.send(end.frame({ sequence: start + 3, flags: FIN | ACK, data: Buffer.from("def") }));
  assert.equal(text, "");
  await guest.send(end.frame({ sequence: start, data: Buffer.from("abc") }));
  await ended;
  assert.equal(text, "abcdef");
  assert.equal(guest.takeSegments().at(-1)?.ack, start + 7);
});

test("nothing is read behind the guest's FIN", async () => {
  using guest = new ScriptedGuest();
  const { end, stream } = await guest.connect();
  stream.on("data", () => assert.fail("data behind the end"));
  await end.send({ flags: FIN | ACK });
  await end.send({ data: Buffer.from("more"), flags: ACK | PSH });
  await end.send({ flags: FIN | ACK, data: Buffer.from("more") });
  assert.ok(stream.readableEnded && !stream.destroyed);
});

describe("RST of the guest", () => {
  test("with the expected number ends the flow with ECONNRESET, and nobody has to listen", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    await end.reset();
    assert.equal((stream.errored as (Error & { code: string }) | null)?.code, "ECONNRESET");
    assert.deepEqual([guest.take(), guest.stack.memory.flows], [[], 0]);
  });

  test("with another number in the window is asked for again; outside of it, it is nothing", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    await guest.send(end.frame({ sequence: end.sequence + 1, flags: RST }));
    assert.deepEqual([guest.takeSegment().ack, stream.destroyed], [end.sequence, false]);
    await guest.send(end.frame({ sequence: end.sequence - 1, flags: RST }));
    await guest.send(end.frame({ sequence: end.sequence + 70_000, flags: RST }));
    assert.deepEqual([guest.take(), stream.destroyed], [[], false]);
  });

  test("in TIME_WAIT is ignored", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    stream.end();
    await settle();
    end.ack += 1;
    await end.send({ flags: FIN | ACK, data: Buffer.from("x") });
    await end.reset();
    assert.deepEqual([String(stream.read()), stream.errored], ["x", null]);
  });
});

test("a SYN in an open connection changes nothing and is asked for again", async () => {
  using guest = new ScriptedGuest();
  const { end, stream } = await guest.connect();
  await guest.send(end.frame({ flags: SYN, ack: 0 }));
  assert.deepEqual([guest.takeSegment().ack, stream.destroyed, guest.flows.length], [end.sequence, false, 1]);
});

describe("destroy()", () => {
  test("sends RST with the number that the guest expects, and frees everything", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    await end.send({ data: Buffer.from("unread") });
    stream.write("unacknowledged");
    await settle();
    const { sequence } = guest.takeSegment();
    const error = new Error("upstream has gone");
    stream.destroy(error);
    await settle();
    const answer = guest.takeSegment();
    assert.deepEqual([answer.flags, answer.sequence], [RST | ACK, sequence + 14]);
    const { memory } = guest.stack;
    assert.deepEqual(
      [memory.flows, memory.connections, memory.receivedBytes, memory.unacknowledgedBytes],
      [0, 0, 0, 0],
    );
    await end.send({ data: Buffer.from("more") });
    assert.equal(guest.takeSegment().flags, RST);
  });

  test("before the handshake is complete sends RST too", async () => {
    using guest = new ScriptedGuest();
    await guest.dial();
    guest.flows[0]?.accept().destroy();
    await settle();
    const [answer] = guest.takeSegments();
    assert.ok(answer !== undefined && (answer.flags & RST) !== 0);
    assert.equal(guest.stack.memory.flows, 0);
  });

  test("fails the writes that are under way", async () => {
    using guest = new ScriptedGuest();
    const { stream } = await guest.connect({ window: 0 });
    const outcomes: unknown[] = [];
    stream.write(Buffer.alloc(2 * 1024 * 1024), (error) => outcomes.push(error));
    stream.end("x", () => undefined);
    const closed = once(stream, "close");
    stream.destroy();
    await closed;
    assert.equal(outcomes.length, 1);
    assert.ok(outcomes[0] instanceof Error);
  });

  test("by a reader, in the middle of a segment, ends it cleanly", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    stream.on("data", () => stream.destroy());
    await settle();
    const start = end.sequence;
    await guest.send(end.frame({ sequence: start + 3, data: Buffer.from("def"), flags: ACK | FIN }));
    await guest.send(end.frame({ sequence: start, data: Buffer.from("abc") }));
    assert.equal(guest.takeSegments().at(-1)?.flags, RST | ACK);
    const { memory } = guest.stack;
    assert.deepEqual([memory.flows, memory.connections, memory.receivedBytes], [0, 0, 0]);
  });
});

describe("a guest that is silent", () => {
  const live = async (guest: ScriptedGuest): Promise<void> => guest.send(guest.aliveFrame());

  test("is probed, and its flow goes on as long as it answers", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    for (let times = 0; times < 30; times++) {
      await guest.pass(121_000);
      const probe = guest.takeSegments().at(-1);
      assert.deepEqual([probe?.sequence, probe?.data.length], [end.ack - 1, 0]);
      await end.send({});
    }
    assert.ok(!stream.destroyed);
  });

  test("on one flow while it talks on others loses that one", async () => {
    using guest = new ScriptedGuest();
    const { stream } = await guest.connect();
    for (let times = 0; times < 20 && !stream.destroyed; times++) {
      await guest.pass(121_000);
      await live(guest);
    }
    assert.equal((stream.errored as (Error & { code: string }) | null)?.code, "ETIMEDOUT");
    assert.equal(guest.stack.memory.flows, 0);
  });

  test("altogether is paused, and loses nothing", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    const idle = await guest.connect();
    stream.write("hello");
    await guest.pass(24 * 3_600_000);
    assert.deepEqual([stream.destroyed, idle.stream.destroyed], [false, false]);
    guest.take();
    end.ack += 5;
    await end.send({ data: Buffer.from("back"), flags: ACK | PSH });
    assert.equal(String(stream.read()), "back");
  });

  test("never acknowledges: what was written is given up", async () => {
    using guest = new ScriptedGuest();
    const { stream } = await guest.connect();
    stream.write("hello");
    for (let times = 0; times < 20 && !stream.destroyed; times++) {
      await guest.pass(31_000);
      await live(guest);
    }
    assert.equal((stream.errored as (Error & { code: string }) | null)?.code, "ETIMEDOUT");
    assert.equal(guest.stack.memory.unacknowledgedBytes, 0);
  });
});

test("closing the stack ends pending flows and open ones, and tells the guest nothing", async () => {
  const guest = new ScriptedGuest();
  const { stream } = await guest.connect();
  await guest.dial();
  let gone = 0;
  guest.flows[1]?.onGone(() => gone++);
  const failed = new Promise((resolve) => finished(stream, resolve));
  guest.stack.close();
  assert.equal(((await failed) as Error & { code: string }).code, "ECANCELED");
  assert.deepEqual([gone, guest.take(), await guest.stack.closed], [1, [], undefined]);
  assert.ok(stream instanceof Duplex && stream.destroyed);
});
