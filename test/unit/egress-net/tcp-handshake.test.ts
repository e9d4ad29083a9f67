import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ACK, FIN, RST, SYN } from "../../../fuzz/net-guest-frames.ts";
import { ScriptedGuest, settle } from "../../../fuzz/net-scripted-guest.ts";

describe("a connection that the guest opens", () => {
  test("is a flow to whatever address it dialled, over IPv4 and IPv6", async () => {
    using guest = new ScriptedGuest();
    await guest.dial({ to: "169.254.169.254", targetPort: 80, sourcePort: 1234 });
    await guest.dial({ to: "2001:db8::1", targetPort: 65_535, sourcePort: 1234 });
    assert.deepEqual(
      guest.flows.map(({ id, guest: from, target }) => ({ id, from, target })),
      [
        { id: 1, from: { address: "198.19.0.2", port: 1234 }, target: { address: "169.254.169.254", port: 80 } },
        { id: 2, from: { address: "fd73:6278::2", port: 1234 }, target: { address: "2001:db8::1", port: 65_535 } },
      ],
    );
  });

  test("hears nothing until it is accepted, and then gets the link's MSS and a window scale", async () => {
    using guest = new ScriptedGuest();
    await guest.dial();
    await guest.pass(3000);
    assert.deepEqual(guest.take(), []);
    guest.flows[0]?.accept();
    await settle();
    const answer = guest.takeSegment();
    assert.deepEqual([answer.flags, answer.ack, answer.window], [SYN | ACK, 1001, 65_535]);
    assert.deepEqual(answer.options, Buffer.from([2, 4, 65_480 >> 8, 65_480 & 255, 1, 3, 3, 7]));
  });

  test("gets no window scale that it did not offer, and an MSS of IPv6 over IPv6", async () => {
    using guest = new ScriptedGuest();
    await guest.dial({ to: "2001:db8::1", tcpOptions: Buffer.alloc(0) });
    guest.flows[0]?.accept();
    await settle();
    assert.deepEqual(guest.takeSegment().options, Buffer.from([2, 4, 65_460 >> 8, 65_460 & 255, 1, 1, 1, 1]));
  });

  test("gets RST when it is refused", async () => {
    using guest = new ScriptedGuest();
    await guest.dial();
    guest.flows[0]?.refuse();
    await settle();
    const answer = guest.takeSegment();
    assert.deepEqual([answer.flags, answer.sequence, answer.ack], [RST | ACK, 0, 1001]);
    assert.equal(guest.stack.memory.connections, 0);
  });

  test("is the same flow when its SYN is repeated, and a new one when the SYN is new", async () => {
    using guest = new ScriptedGuest();
    const end = await guest.dial();
    let gone = 0;
    guest.flows[0]?.onGone(() => gone++);
    end.sequence -= 1;
    await end.sendSyn();
    assert.deepEqual([guest.flows.length, gone], [1, 0]);
    end.sequence = 777_000;
    await end.sendSyn();
    assert.deepEqual([guest.flows.length, gone], [2, 1]);
    assert.ok(guest.flows[0]?.accept().destroyed);
    guest.flows[1]?.accept();
    await settle();
    assert.equal(guest.takeSegment().ack, 777_001);
  });

  test("is gone when the guest resets it before it was answered", async () => {
    using guest = new ScriptedGuest();
    const end = await guest.dial();
    let gone = 0;
    guest.flows[0]?.onGone(() => gone++);
    await end.reset();
    assert.equal(gone, 1);
    guest.flows[0]?.refuse();
    await settle();
    assert.deepEqual(guest.take(), []);
    assert.equal(guest.stack.memory.flows, 0);
  });

  test("is refused, and gone, when nobody answers for 75 seconds", async () => {
    using guest = new ScriptedGuest();
    await guest.dial();
    let gone = 0;
    guest.flows[0]?.onGone(() => gone++);
    await guest.pass(74_000);
    assert.equal(gone, 0);
    await guest.pass(2000);
    assert.equal(gone, 1);
    assert.equal(guest.takeSegment().flags, RST | ACK);
    assert.ok(guest.flows[0]?.accept().destroyed);
  });

  test("is answered once only", async () => {
    using guest = new ScriptedGuest();
    await guest.dial();
    guest.flows[0]?.refuse();
    assert.throws(() => guest.flows[0]?.accept(), /answered already/);
  });

  test("gets its SYN-ACK again when that was lost, in answer to its SYN and by itself", async () => {
    using guest = new ScriptedGuest();
    const end = await guest.dial();
    guest.flows[0]?.accept();
    await settle();
    const answer = guest.takeSegment();
    end.sequence -= 1;
    await end.sendSyn();
    assert.deepEqual(guest.takeSegment(), answer);
    await guest.pass(1100);
    assert.deepEqual(guest.takeSegment(), answer);
  });

  test("may not complete its handshake with a number that it guessed", async () => {
    using guest = new ScriptedGuest();
    const end = await guest.dial();
    const stream = guest.flows[0]?.accept().on("data", () => assert.fail("data of an incomplete handshake"));
    await settle();
    const answer = guest.takeSegment();
    end.ack = (answer.sequence + 2) >>> 0;
    await end.send({ data: Buffer.from("early") });
    assert.deepEqual([guest.takeSegment().flags, stream?.destroyed], [RST, false]);
  });

  test("may send data with the handshake's last segment; data with the SYN is left to be repeated", async () => {
    using guest = new ScriptedGuest();
    const end = await guest.dial({ data: Buffer.from("early") });
    const stream = guest.flows[0]?.accept();
    await settle();
    const answer = guest.takeSegment();
    assert.equal(answer.ack, 1001);
    end.ack = (answer.sequence + 1) >>> 0;
    await end.send({ data: Buffer.from("hello") });
    assert.equal(String(stream?.read()), "hello");
  });

  test("counts as pending until its handshake is complete; SYNs beyond the limit are ignored", async () => {
    using guest = new ScriptedGuest({ limits: { maxPending: 2 } });
    await guest.connect();
    await guest.dial();
    await guest.dial();
    guest.flows[1]?.accept();
    await settle();
    guest.take();
    const late = await guest.dial();
    assert.deepEqual(
      [guest.flows.length, guest.take().length, guest.drops],
      [3, 0, [{ kind: "limit", target: undefined }]],
    );
    guest.flows[2]?.refuse();
    await settle();
    late.sequence -= 1;
    await late.sendSyn();
    assert.equal(guest.flows.length, 4);
  });

  test("is refused at once beyond the limit on flows", async () => {
    using guest = new ScriptedGuest({ limits: { maxFlows: 1 } });
    const { stream } = await guest.connect();
    await guest.dial();
    assert.deepEqual([guest.takeSegment().flags, guest.flows.length], [RST | ACK, 1]);
    stream.destroy();
    await settle();
    await guest.dial();
    assert.equal(guest.flows.length, 2);
  });
});

describe("a segment of no connection", () => {
  test("is answered by RST with the number it expects, unless it is RST itself", async () => {
    using guest = new ScriptedGuest();
    const end = await guest.dial();
    guest.flows[0]?.refuse();
    await settle();
    guest.take();
    end.ack = 4242;
    await end.send({ flags: ACK, data: Buffer.from("x") });
    const answer = guest.takeSegment();
    assert.deepEqual([answer.flags, answer.sequence], [RST, 4242]);
    await end.send({ flags: FIN, ack: 0 });
    const second = guest.takeSegment();
    assert.deepEqual([second.flags, second.ack], [RST | ACK, end.sequence]);
    await end.reset();
    assert.deepEqual(guest.take(), []);
  });
});
