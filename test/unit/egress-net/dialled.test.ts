/** Flows that are opened from the host's side, to servers on the guest's loopback. */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { ACK, FIN, icmp, PSH, RST, SYN, tcp, type TcpOptions, udp } from "../../../fuzz/net-guest-frames.ts";
import { ScriptedGuest, settle } from "../../../fuzz/net-scripted-guest.ts";

const GATEWAY = "198.19.0.1";
const LOOPBACK = "127.0.0.1";
const PORT = 3000;
const SERVER_SEQUENCE = 7000;

interface Dialled {
  stream: Duplex;
  opened: () => number;
  errors: Error[];
  hostPort: number;
  /** What the guest acknowledges. */
  next: number;
  frame: (options: Partial<TcpOptions>) => Buffer;
}

/** Opens a flow up to its SYN. */
async function dial(guest: ScriptedGuest, first?: string): Promise<Dialled> {
  let opened = 0;
  const errors: Error[] = [];
  const stream = guest.stack.connect(PORT, () => opened++);
  stream.on("error", (error) => errors.push(error));
  if (first !== undefined) stream.write(first);
  await settle();
  const syn = guest.takeSegment();
  assert.deepEqual([syn.from, syn.targetPort, syn.flags, syn.ack], [GATEWAY, PORT, SYN, 0]);
  assert.deepEqual(syn.options, Buffer.from([2, 4, 65_480 >> 8, 65_480 & 255, 1, 3, 3, 7]));
  const next = (syn.sequence + 1) >>> 0;
  const frame = (options: Partial<TcpOptions>): Buffer =>
    tcp({
      ...{ from: LOOPBACK, to: GATEWAY, sourcePort: PORT, targetPort: syn.sourcePort },
      ...{ sequence: SERVER_SEQUENCE + 1, ack: next, flags: ACK, ...options },
    });
  return { stream, opened: () => opened, errors, hostPort: syn.sourcePort, next, frame };
}

const SYN_ACK = {
  flags: SYN | ACK,
  sequence: SERVER_SEQUENCE,
  tcpOptions: Buffer.from([2, 4, 0xff, 0xc8, 1, 3, 3, 7]),
};

async function open(guest: ScriptedGuest): Promise<Dialled> {
  const dialled = await dial(guest);
  await guest.send(dialled.frame(SYN_ACK));
  assert.equal(dialled.opened(), 1);
  assert.deepEqual([guest.takeSegment().flags, dialled.errors], [ACK, []]);
  return dialled;
}

describe("a connection to a server of the guest", () => {
  test("is open when the server has accepted; what was written before goes out with the handshake's last segment", async () => {
    using guest = new ScriptedGuest();
    const { frame, opened, next } = await dial(guest, "GET / HTTP/1.1\r\n\r\n");
    assert.equal(opened(), 0);
    await guest.send(frame(SYN_ACK));
    assert.equal(opened(), 1);
    const segment = guest.takeSegment();
    assert.deepEqual([segment.flags, segment.ack, segment.sequence], [ACK | PSH, SERVER_SEQUENCE + 1, next]);
    assert.equal(segment.data.toString(), "GET / HTTP/1.1\r\n\r\n");
  });

  test("fails with ECONNREFUSED where nothing listens, and leaves nothing", async () => {
    using guest = new ScriptedGuest();
    const { frame, errors, opened } = await dial(guest);
    await guest.send(frame({ flags: RST | ACK, sequence: 0 }));
    assert.deepEqual(
      errors.map((error) => (error as NodeJS.ErrnoException).code),
      ["ECONNREFUSED"],
    );
    assert.equal(opened(), 0);
    const { flows, connections } = guest.stack.memory;
    assert.deepEqual({ flows, connections }, { flows: 0, connections: 0 });
  });

  test("is not refused, nor opened, by what does not answer its SYN", async () => {
    using guest = new ScriptedGuest();
    const { frame, errors, opened, next } = await dial(guest);
    await guest.send(frame({ flags: RST | ACK, ack: next - 1 }));
    assert.deepEqual(guest.takeSegments(), []);
    await guest.send(frame({ flags: SYN, ack: 0 }));
    assert.deepEqual(guest.takeSegments(), []);
    await guest.send(frame({ ...SYN_ACK, ack: next + 5 }));
    assert.deepEqual([guest.takeSegment().flags, errors, opened()], [RST, [], 0]);
  });

  test("repeats its SYN while the guest says nothing, and tells it when nobody waits any more", async () => {
    using guest = new ScriptedGuest();
    const { stream, next } = await dial(guest);
    await guest.pass(1100);
    assert.equal(guest.takeSegment().flags, SYN);
    stream.destroy();
    await settle();
    const reset = guest.takeSegment();
    assert.deepEqual([reset.flags & RST, reset.sequence], [RST, next]);
    assert.equal(guest.stack.memory.connections, 0);
  });

  test("carries both directions, and each ends by itself", async () => {
    using guest = new ScriptedGuest();
    const { stream, frame, next } = await open(guest);
    const received: string[] = [];
    stream.on("data", (chunk: Buffer) => received.push(chunk.toString()));
    stream.on("end", () => received.push("END"));
    stream.end("question");
    await settle();
    const asked = guest.takeSegment();
    assert.deepEqual([asked.data.toString(), asked.flags], ["question", ACK | PSH | FIN]);
    const ack = next + "question".length + 1;
    await guest.send(frame({ ack, data: Buffer.from("answer"), flags: ACK | PSH }));
    await guest.send(frame({ ack, sequence: SERVER_SEQUENCE + 7, flags: ACK | FIN }));
    assert.deepEqual(received, ["answer", "END"]);
  });

  test("has an answer acknowledged by the next request, or soon", async () => {
    using guest = new ScriptedGuest();
    const { stream, frame } = await open(guest);
    stream.resume();
    await guest.send(frame({ data: Buffer.from("answer"), flags: ACK | PSH }));
    assert.deepEqual(guest.takeSegments(), []);
    stream.write("next");
    await settle();
    assert.equal(guest.takeSegment().ack, SERVER_SEQUENCE + 7);
    await guest.send(frame({ sequence: SERVER_SEQUENCE + 7, data: Buffer.from("more"), flags: ACK | PSH }));
    assert.deepEqual(guest.takeSegments(), []);
    await guest.pass(3);
    const [ack] = guest.takeSegments();
    assert.deepEqual([ack?.flags, ack?.ack, ack?.data.length], [ACK, SERVER_SEQUENCE + 11, 0]);
  });
});

describe("the guest's loopback", () => {
  test("opens nothing: neither connections nor datagrams nor answers to echoes", async () => {
    using guest = new ScriptedGuest();
    const base = { from: LOOPBACK, to: "203.0.113.7", sourcePort: 40_000, targetPort: 443 };
    await guest.send(tcp({ ...base, sequence: 1, flags: SYN }));
    await guest.send(udp({ source: 40_000, target: 53 }, Buffer.from("x"), { from: LOOPBACK, to: GATEWAY }));
    await guest.send(icmp(Buffer.from("0800000000010001", "hex"), { from: LOOPBACK, to: GATEWAY }));
    assert.deepEqual([guest.flows, guest.datagrams, guest.take()], [[], [], []]);
    assert.deepEqual(
      guest.drops.map(({ kind }) => kind),
      ["spoofed", "spoofed", "spoofed"],
    );
  });

  test("does not open one from the ports of a connection that is over", async () => {
    using guest = new ScriptedGuest();
    const { stream, frame, next } = await open(guest);
    stream.resume().end();
    await settle();
    assert.equal(guest.takeSegment().flags & FIN, FIN);
    await guest.send(frame({ ack: next + 1, flags: ACK | FIN }));
    guest.take();
    await guest.send(frame({ sequence: SERVER_SEQUENCE + 100_000, ack: 0, flags: SYN }));
    assert.deepEqual(guest.flows, []);
  });

  test("is reset for what is no connection any more", async () => {
    using guest = new ScriptedGuest();
    const base = { from: LOOPBACK, to: GATEWAY, sourcePort: PORT, targetPort: 50_000 };
    await guest.send(tcp({ ...base, sequence: 1, ack: 4242, flags: ACK }));
    const reset = guest.takeSegment();
    assert.deepEqual([reset.flags, reset.sequence], [RST, 4242]);
  });

  test("is no way to another connection's flow: the guest's own address is another end", async () => {
    using guest = new ScriptedGuest();
    const { stream, hostPort, next } = await open(guest);
    const received: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => received.push(chunk));
    const ends = { from: "198.19.0.2", to: GATEWAY, sourcePort: PORT, targetPort: hostPort };
    await guest.send(tcp({ ...ends, sequence: SERVER_SEQUENCE + 1, ack: next, flags: ACK, data: Buffer.from("x") }));
    assert.deepEqual(received, []);
  });
});

test("a copy of the guest ends the connections that its source's servers had", async () => {
  using guest = new ScriptedGuest();
  const { hostPort } = await open(guest);
  const connections = guest.stack.connections();
  assert.deepEqual(connections, [{ address: GATEWAY, port: hostPort, guestPort: PORT }]);
  using copy = new ScriptedGuest();
  copy.stack.breakOff(connections);
  await copy.pass(0);
  const ends = { sourcePort: hostPort, targetPort: PORT, flags: SYN };
  const provoked = copy.takeSegments().map(({ sourcePort, targetPort, flags }) => ({ sourcePort, targetPort, flags }));
  // To either of the guest's addresses: the record does not say which.
  assert.deepEqual(provoked, [ends, ends]);
});
