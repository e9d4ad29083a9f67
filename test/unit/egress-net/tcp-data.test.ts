import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { ACK, FIN, PSH, type ReadSegment } from "../../../fuzz/net-guest-frames.ts";
import { ScriptedGuest, settle } from "../../../fuzz/net-scripted-guest.ts";

const KIB = 1024;

describe("data from the guest", () => {
  test("is read in order, and a message is acknowledged at once", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    const read = collect(stream);
    await end.send({ flags: ACK | PSH, data: Buffer.from("hello ") });
    assert.equal(guest.takeSegment().ack, end.sequence);
    await end.send({ flags: ACK | PSH, data: Buffer.from("world") });
    assert.equal(read(), "hello world");
  });

  test("of many segments in one read is acknowledged once", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    stream.resume();
    const frames = Array.from({ length: 10 }, (_, at) =>
      end.frame({ sequence: end.sequence + at * 100, data: Buffer.alloc(100), flags: ACK | PSH }),
    );
    await guest.send(...frames);
    assert.equal(guest.takeSegment().ack, end.sequence + 1000);
  });

  test("that is no message waits a little for its acknowledgement", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    stream.resume();
    await end.send({ data: Buffer.alloc(1000) });
    assert.deepEqual(guest.take(), []);
    await guest.pass(10);
    assert.equal(guest.takeSegment().ack, end.sequence);
  });

  test("is put in order, and what comes twice counts once", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    const read = collect(stream);
    const start = end.sequence;
    const part = (begin: number, text: string): Buffer =>
      end.frame({ sequence: start + begin, data: Buffer.from(text), flags: ACK | PSH });
    await guest.send(part(8, "ij"), part(2, "cde"), part(4, "efg"), part(2, "cd"), part(7, "hijkl"));
    assert.equal(read(), "");
    // Each one says what is missing.
    assert.ok(guest.takeSegments().every(({ ack }) => ack === start));
    await guest.send(part(0, "abc"));
    assert.equal(read(), "abcdefghijkl");
    assert.equal(guest.takeSegment().ack, start + 12);
  });

  test("outside of the window is not taken, and answered with what is expected", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    const read = collect(stream);
    for (const offset of [65_535, 70_000, -2, -100_000, 0x7fff_ffff]) {
      await guest.send(end.frame({ sequence: end.sequence + offset, data: Buffer.from("x") }));
      assert.equal(guest.takeSegment().ack, end.sequence);
    }
    assert.equal(read(), "");
  });

  test("stops when nobody reads: the window closes, and opens when somebody does", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    await end.send({ data: Buffer.alloc(40_000, "a") });
    await end.send({ data: Buffer.alloc(25_535, "b") });
    await guest.pass(10);
    assert.equal(lastOf(guest.takeSegments()).window, 0);
    // A probe of the closed window.
    await end.send({ data: Buffer.from("c") });
    const answer = guest.takeSegment();
    assert.deepEqual([answer.ack, answer.window], [end.sequence - 1, 0]);
    end.sequence -= 1;
    const read = collect(stream);
    await settle();
    const update = lastOf(guest.takeSegments());
    assert.deepEqual([read().length, update.ack, update.window << 7], [65_535, end.sequence, 65_536]);
    await end.send({ data: Buffer.from("c") });
    assert.equal(read().length, 65_536);
  });

  test("is given a window of 1 MiB once the flow has carried enough", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    stream.resume();
    for (let times = 0; times < 6; times++) await end.send({ data: Buffer.alloc(30_000) });
    await guest.pass(10);
    assert.ok(lastOf(guest.takeSegments()).window << 7 > 900 * KIB);
  });

  test("never sees its window taken back", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    let edge = end.sequence + 65_535;
    for (let times = 0; times < 300; times++) {
      await end.send({ data: Buffer.alloc(1 + ((times * 37) % 800)), flags: ACK | PSH });
      for (const { ack, window } of guest.takeSegments()) {
        assert.ok(ack + (window << 7) >= edge, `${ack + (window << 7)} is before ${edge}`);
        edge = ack + (window << 7);
      }
      if (times % 10 === 0) stream.read();
    }
  });
});

describe("data to the guest", () => {
  test("comes in segments of the guest's MSS, and no smaller than there is data", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    stream.write(Buffer.alloc(40_000, "x"));
    stream.write("tail");
    await settle();
    assert.deepEqual(sizes(guest.takeSegments()), [40_004]);
    const small = await guest.connect({ tcpOptions: Buffer.from([2, 4, 1, 0]) });
    small.stream.write(Buffer.alloc(700));
    await settle();
    assert.deepEqual(sizes(guest.takeSegments()), [256, 256, 188]);
    assert.equal(end.port + 1, small.end.port);
  });

  test("is never more than the guest's window, and goes on when that opens", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect({ window: 100 });
    // The scale is 7, so the window is 12,800 bytes.
    stream.write(Buffer.alloc(30_000, "x"));
    await settle();
    assert.deepEqual(sizes(guest.takeSegments()), [12_800]);
    end.ack += 12_800;
    await end.send({ window: 0 });
    assert.deepEqual(guest.take(), []);
    await end.send({ window: 200 });
    assert.deepEqual(sizes(guest.takeSegments()), [17_200]);
  });

  test("of an old segment's window does not count", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect({ window: 100 });
    stream.resume();
    const old = end.frame({ window: 500, data: Buffer.from("0123456789"), flags: ACK });
    await end.send({ data: Buffer.alloc(20), window: 100 });
    await guest.send(old);
    guest.take();
    stream.write(Buffer.alloc(30_000));
    await settle();
    assert.deepEqual(sizes(guest.takeSegments()), [12_800]);
  });

  test("is kept until the guest acknowledges it, and repeated with growing pauses", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    stream.write("hello");
    await settle();
    const sent = guest.takeSegment();
    for (const [pause, more] of [
      [900, 200],
      [1800, 200],
      [3800, 300],
    ] as const) {
      await guest.pass(pause);
      assert.deepEqual(guest.take(), []);
      await guest.pass(more);
      assert.deepEqual(guest.takeSegment(), sent);
    }
    end.ack += 5;
    await end.send({});
    await guest.pass(60_000);
    assert.deepEqual(guest.take(), []);
  });

  test("that was lost is repeated after three duplicates, and piece by piece after that", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect({ tcpOptions: Buffer.from([2, 4, 1, 0]) });
    stream.write(Buffer.concat(["a", "b", "c", "d"].map((letter) => Buffer.alloc(256, letter))));
    await settle();
    assert.equal(guest.takeSegments().length, 4);
    await end.send({});
    await end.send({});
    assert.deepEqual(guest.take(), []);
    await end.send({});
    assert.equal(String(guest.takeSegment().data), "a".repeat(256));
    end.ack += 512;
    await end.send({});
    assert.equal(String(guest.takeSegment().data), "c".repeat(256));
    end.ack += 512;
    await end.send({});
    assert.deepEqual(guest.take(), []);
  });

  test("waits at its writer beyond 1 MiB", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    end.window = 0xffff;
    let written = 0;
    const write = (): void => {
      while (written < 8 * KIB * KIB) {
        written += 64 * KIB;
        if (!stream.write(Buffer.alloc(64 * KIB))) {
          stream.once("drain", write);
          return;
        }
      }
    };
    write();
    await settle();
    assert.ok(written <= 1.2 * KIB * KIB, `${written} bytes were taken`);
    assert.ok(guest.stack.memory.unacknowledgedBytes <= 1.2 * KIB * KIB);
    for (let turn = 0; turn < 1000 && written < 8 * KIB * KIB; turn++) {
      end.ack = guest
        .takeSegments()
        .reduce((ack, { sequence, data }) => Math.max(ack, sequence + data.length), end.ack);
      await end.send({});
    }
    assert.equal(written, 8 * KIB * KIB);
  });

  test("of a window that closes is asked for again with probes", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect({ window: 0 });
    stream.write("hello");
    await settle();
    assert.deepEqual(guest.take(), []);
    for (const pause of [1100, 2100, 4100]) {
      await guest.pass(pause);
      const probe = guest.takeSegment();
      assert.deepEqual([probe.data.length, probe.sequence], [0, end.ack - 1]);
      await end.send({ window: 0 });
    }
    await end.send({ window: 10 });
    assert.equal(String(guest.takeSegment().data), "hello");
  });

  test("uses a window that is small for long, after a pause", async () => {
    using guest = new ScriptedGuest();
    const { stream, end } = await guest.connect({ window: 100 });
    stream.write(Buffer.alloc(30_000));
    await settle();
    guest.take();
    end.ack += 12_800;
    await end.send({ window: 1 });
    assert.deepEqual(guest.take(), []);
    await guest.pass(1100);
    assert.deepEqual(sizes(guest.takeSegments()), [128]);
  });

  test("acknowledges what came from the guest meanwhile", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    stream.on("data", (data: Buffer) => stream.write(data));
    await settle();
    await end.send({ data: Buffer.from("echo"), flags: ACK | PSH });
    const answer = guest.takeSegment();
    assert.deepEqual([String(answer.data), answer.ack], ["echo", end.sequence]);
  });
});

describe("an acknowledgement that makes no sense", () => {
  test("is answered and changes nothing", async () => {
    using guest = new ScriptedGuest();
    const { end, stream } = await guest.connect();
    const read = collect(stream);
    stream.write("hello");
    await settle();
    const { sequence } = guest.takeSegment();
    for (const ack of [sequence + 6, sequence + 100_000, sequence - 20_000_000]) {
      await guest.send(end.frame({ ack: ack >>> 0, data: Buffer.from("evil") }));
      assert.equal(guest.takeSegment().ack, end.sequence);
    }
    assert.equal(read(), "");
    assert.equal(guest.stack.memory.unacknowledgedBytes > 0, true);
  });
});

test("a keep-alive of the guest's is answered", async () => {
  using guest = new ScriptedGuest();
  const { end } = await guest.connect();
  for (const data of [Buffer.alloc(0), Buffer.from("x")]) {
    await guest.send(end.frame({ sequence: end.sequence - 1, data }));
    assert.equal(guest.takeSegment().ack, end.sequence);
  }
});

test("numbers wrap in both directions", async () => {
  using guest = new ScriptedGuest();
  const { end, stream } = await guest.connect({ sequence: 0xffff_fff0 });
  const read = collect(stream);
  for (let times = 0; times < 8; times++) await end.send({ data: Buffer.from("0123456789"), flags: ACK | PSH });
  assert.equal(read(), "0123456789".repeat(8));
  await end.send({ flags: ACK | FIN });
  await settle();
  assert.equal(lastOf(guest.takeSegments()).ack, end.sequence);
});

function collect(stream: Duplex): () => string {
  let text = "";
  stream.on("data", (data: Buffer) => (text += data.toString("latin1")));
  return () => text;
}

function sizes(segments: ReadSegment[]): number[] {
  return segments.map(({ data }) => data.length);
}

function lastOf(segments: ReadSegment[]): ReadSegment {
  const last = segments.at(-1);
  assert.ok(last !== undefined, "no segment");
  return last;
}
