/** Whatever the guest does, what it makes the host hold stays within `limits.ts`, and another flow still works. */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { GuestFlow } from "../../../src/egress/guest-flow.ts";
import { ACK, FIN, PSH, RST, SYN, tcp } from "../../../fuzz/net-guest-frames.ts";
import { GuestEnd, ScriptedGuest, settle } from "../../../fuzz/net-scripted-guest.ts";
import { NET_LIMITS, type NetLimits } from "../../../src/egress/net/limits.ts";

const MIB = 1024 * 1024;
/** Data waits in its flow beyond 512 KiB, answers have a reserve. */
const LINK_QUEUE_BYTES = 800 * 1024;
const ECHO_PORT = 7;
/** The link's MSS. */
const OFFER = Buffer.from([2, 4, 0xff, 0xc8]);
/** Handshakes at a time. */
const BATCH = 500;

describe("a guest that floods", () => {
  test("with SYNs that nobody answers, or that it does not complete, has 1,024 of them", async () => {
    for (const accepts of [false, true]) {
      using guest = guestWith((flow) => accepts && flow.accept());
      for (let batch = 0; batch < 10; batch++) {
        const frames = Array.from({ length: 1000 }, (_, at) => synTo(batch * 1000 + at));
        await guest.send(...frames);
      }
      assert.deepEqual([guest.flows.length, guest.stack.memory.connections], [1024, 1024]);
      assert.equal(guest.stack.counters.dropped.limit, 10_000 - 1024);
      for (let minute = 0; minute < 15; minute++) {
        await guest.pass(60_000);
        await guest.send(guest.aliveFrame());
      }
      assert.equal(guest.stack.memory.flows, 0);
      await assertServes(guest);
    }
  });

  test("with connections has 8,192 of them, and further ones are refused", async () => {
    using guest = guestWith((flow) => flow.accept());
    await openMany(guest, NET_LIMITS.maxFlows);
    assert.equal(guest.stack.memory.flows, NET_LIMITS.maxFlows);
    guest.take();
    await guest.send(synTo(60_000));
    assert.equal(guest.takeSegments().length, 1);
    assert.equal(guest.flows.length, NET_LIMITS.maxFlows);
  });

  test("with connections that it ends leaves 1,024 of them in TIME_WAIT", async () => {
    using guest = guestWith((flow) => flow.accept().resume().end());
    for (let count = 0; count < 1500; count++) {
      const end = await guest.dial();
      const [answer] = guest.takeSegments();
      assert.ok(answer !== undefined);
      end.ack = (answer.sequence + 1) >>> 0;
      await end.send({});
      await guest.send(end.frame({ flags: ACK | FIN, ack: end.ack + 1 }));
      guest.take();
    }
    await settle();
    assert.deepEqual([guest.stack.memory.flows, guest.stack.memory.connections], [0, 1024]);
  });

  test("with data that nobody reads fills its budget and no more", async () => {
    for (const [size, turns] of [
      [65_000, 2],
      [700, 80],
      [1, 80],
    ] as const) {
      using guest = guestWith((flow) => flow.accept(), { receiveBudgetBytes: 4 * MIB });
      const ends = await openMany(guest, 200);
      for (let turn = 0; turn < turns; turn++) await guest.send(...ends.map((end) => take(end, size)));
      const { receivedPeakBytes } = guest.stack.memory;
      assert.ok(receivedPeakBytes <= 4 * MIB, `${receivedPeakBytes} bytes`);
      if (size > 1) assert.ok(receivedPeakBytes > 3 * MIB && guest.stack.counters.memoryDrops > 0);
      // Others still work, as long as their readers read.
      await assertServes(guest);
      await resetAll(guest, ends);
    }
  });

  test("with data out of order fills half of its budget and no more, and 64 pieces a flow", async () => {
    using guest = guestWith((flow) => flow.accept(), { receiveBudgetBytes: 8 * MIB });
    const ends = await openMany(guest, 200);
    for (let turn = 1; turn < 80; turn++) {
      const data = Buffer.alloc(turn % 3 === 0 ? 1 : 700);
      await guest.send(...ends.map((end) => end.frame({ sequence: end.sequence + turn * 800, data })));
    }
    const { receivedPeakBytes } = guest.stack.memory;
    assert.ok(receivedPeakBytes > 3 * MIB && receivedPeakBytes <= 4 * MIB, `${receivedPeakBytes} bytes`);
    await assertServes(guest);
    await resetAll(guest, ends);
  });
});

describe("a guest that never acknowledges", () => {
  test("makes the writers of all its flows wait", async () => {
    const streams: Duplex[] = [];
    using guest = guestWith((flow) => streams.push(flow.accept()));
    const ends = await openMany(guest, 1000);
    const chunk = Buffer.alloc(64 * 1024);
    for (const stream of streams) for (let count = 0; count < 32 && stream.write(chunk); count++);
    await settle();
    // Each writer has one chunk in its hands, and Node another one.
    const { unacknowledgedPeakBytes } = guest.stack.memory;
    const bound = NET_LIMITS.sendBudgetBytes / 2 + 1000 * 2 * chunk.length;
    assert.ok(unacknowledgedPeakBytes <= bound, `${unacknowledgedPeakBytes} bytes`);
    await resetAll(guest, ends);
    assert.equal(guest.stack.memory.unacknowledgedBytes, 0);
  });

  test("and has the smallest window gets few frames, and an end", async () => {
    using guest = guestWith((flow) => flow.accept().write(Buffer.alloc(100_000)));
    const end = await guest.dial({ tcpOptions: Buffer.from([2, 4, 0, 1]) });
    const [answer] = guest.takeSegments();
    assert.ok(answer !== undefined);
    end.ack = (answer.sequence + 1) >>> 0;
    await end.send({ window: 1 });
    let frames = 0;
    for (let minute = 0; minute < 10; minute++) {
      await guest.pass(60_000);
      await guest.send(guest.aliveFrame());
      frames += guest.take().length;
    }
    assert.ok(frames < 50, `${frames} frames`);
  });
});

describe("a guest that does not take its frames", () => {
  test("stops data at the link, and has room for few answers", async () => {
    using guest = guestWith((flow) => flow.accept());
    const ends = await openMany(guest, 100);
    guest.link.stallGuest();
    const echo = ends.flatMap((end) => Array.from({ length: 300 }, () => end.frame({ sequence: end.sequence - 9 })));
    await guest.send(...echo);
    const strays = Array.from({ length: 30_000 }, (_, at) => synTo(at, ACK));
    await guest.send(...strays);
    const { linkQueueBytes } = guest.stack.memory;
    assert.ok(linkQueueBytes <= LINK_QUEUE_BYTES, `${linkQueueBytes} bytes`);
    assert.ok(guest.stack.counters.answersDropped > 0);
    guest.link.resumeGuest();
    await settle();
    assert.equal(guest.stack.memory.linkQueueBytes, 0);
    await assertServes(guest);
  });

  test("gets all its data, in order, when it takes them again", async () => {
    const streams: Duplex[] = [];
    using guest = guestWith((flow) => streams.push(flow.accept()));
    await openMany(guest, 20);
    guest.link.stallGuest();
    for (const [at, stream] of streams.entries()) stream.write(Buffer.alloc(60_000, at));
    await settle();
    const { linkQueueBytes } = guest.stack.memory;
    assert.ok(linkQueueBytes > 500_000 && linkQueueBytes <= LINK_QUEUE_BYTES, `${linkQueueBytes} bytes`);
    // Answers have room behind the data.
    await guest.send(...Array.from({ length: 100 }, (_, at) => synTo(at, ACK)));
    assert.equal(guest.stack.counters.answersDropped, 0);
    guest.link.resumeGuest();
    await settle();
    const all = guest.takeSegments();
    const segments = all.filter(({ flags }) => (flags & RST) === 0);
    assert.deepEqual([all.length, segments.length], [120, 20]);
    for (const { data } of segments) assert.ok(data.equals(Buffer.alloc(60_000, data[0])));
  });

  test("hears later that its flows were reset", async () => {
    const streams: Duplex[] = [];
    using guest = guestWith((flow) => streams.push(flow.accept()));
    const ends = await openMany(guest, 2000);
    guest.link.stallGuest();
    for (const stream of streams) stream.write(Buffer.alloc(60_000));
    await settle();
    for (const stream of streams) stream.destroy();
    await settle();
    const { linkQueueBytes, unacknowledgedBytes, flows } = guest.stack.memory;
    assert.ok(linkQueueBytes <= LINK_QUEUE_BYTES, `${linkQueueBytes} bytes`);
    assert.equal(unacknowledgedBytes, 0);
    assert.ok(flows > 0);
    guest.link.resumeGuest();
    await settle();
    const resets = guest.takeSegments().filter(({ flags }) => (flags & RST) !== 0);
    assert.deepEqual(new Set(resets.map(({ targetPort }) => targetPort)), new Set(ends.map(({ port }) => port)));
    assert.deepEqual([guest.stack.memory.flows, guest.stack.memory.connections], [0, 0]);
  });
});

test("2,000 open flows that are idle cost less than 16 MiB", async (t) => {
  const streams: Duplex[] = [];
  using guest = guestWith((flow) => streams.push(flow.accept().on("data", () => undefined)));
  await assertServes(guest);
  const before = await usedBytes();
  await openMany(guest, 2000);
  guest.take();
  const grown = (await usedBytes()) - before;
  t.diagnostic(`${(grown / MIB).toFixed(1)} MiB`);
  assert.ok(grown < 16 * MIB, `${(grown / MIB).toFixed(1)} MiB`);
  assert.equal(streams.length, 2000);
});

/** Flows to {@link ECHO_PORT} are served, the others are the test's. */
function guestWith(onFlow: (flow: GuestFlow) => unknown, limits: Partial<NetLimits> = {}): ScriptedGuest {
  const echo = (flow: GuestFlow): void => {
    const stream = flow.accept();
    stream.pipe(stream);
  };
  return new ScriptedGuest({ limits, onFlow: (flow) => (flow.target.port === ECHO_PORT ? echo(flow) : onFlow(flow)) });
}

function synTo(count: number, flags = SYN): Buffer {
  const to = `198.18.100.${1 + (count >> 12)}`;
  return tcp({ to, sourcePort: 1 + (count & 0xfff), targetPort: 80, sequence: count, ack: 1, flags });
}

/** Flows that are open, at the first of ports that nobody else has. */
async function openMany(guest: ScriptedGuest, count: number): Promise<GuestEnd[]> {
  const ends: GuestEnd[] = [];
  for (let first = 0; first < count; first += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, count - first) }, (_, at) => {
      return new GuestEnd(guest, { targetPort: 80, sourcePort: 10_000 + first + at });
    });
    await guest.send(
      ...batch.map((end) => end.frame({ flags: SYN, ack: 0, sequence: end.sequence++, tcpOptions: OFFER })),
    );
    const answers = new Map(guest.takeSegments().map((segment) => [segment.targetPort, segment]));
    assert.equal(answers.size, batch.length);
    for (const end of batch) end.ack = ((answers.get(end.port)?.sequence ?? 0) + 1) >>> 0;
    await guest.send(...batch.map((end) => end.frame({})));
    ends.push(...batch);
  }
  return ends;
}

function take(end: GuestEnd, size: number): Buffer {
  const frame = end.frame({ data: Buffer.alloc(size), flags: ACK | PSH });
  end.sequence = (end.sequence + size) >>> 0;
  return frame;
}

/** Each flow is asked what it expects, and reset with that number. */
async function resetAll(guest: ScriptedGuest, ends: GuestEnd[]): Promise<void> {
  guest.take();
  await guest.send(...ends.map((end) => end.frame({ sequence: end.sequence + 10_000_000 })));
  const expected = new Map(guest.takeSegments().map(({ targetPort, ack }) => [targetPort, ack]));
  await guest.send(...ends.map((end) => end.frame({ sequence: expected.get(end.port) ?? 0, flags: RST })));
  guest.take();
  const { flows, receivedBytes } = guest.stack.memory;
  assert.deepEqual({ flows, receivedBytes }, { flows: 0, receivedBytes: 0 });
}

/** A new flow carries data both ways. */
async function assertServes(guest: ScriptedGuest): Promise<void> {
  guest.take();
  const end = await guest.dial({ targetPort: ECHO_PORT, sourcePort: 9 });
  const answer = guest.takeSegment();
  end.ack = (answer.sequence + 1) >>> 0;
  await end.send({ data: Buffer.from("still there?"), flags: ACK | PSH });
  await settle();
  assert.ok(guest.takeSegments().some(({ data }) => String(data) === "still there?"));
  await guest.send(end.frame({ flags: RST }));
}

async function usedBytes(): Promise<number> {
  await settle();
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  await settle();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
