/**
 * Fuzzes what reads the guest's frames: random ones, mutated and replayed valid ones, and conversations in which some
 * frames are changed, lost, repeated or out of order. Fails when anything is thrown, when a frame goes out that a guest
 * would not believe, when memory exceeds its bounds or is not given back, or when a good connection no longer works.
 */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { type FuzzOptions, fuzzFailure, readCorpus } from "./corpus-files.ts";
import {
  ACK,
  arpRequest,
  ethernet,
  FIN,
  framed,
  GATEWAY_IPV4,
  GATEWAY_IPV6,
  icmp,
  neighbourSolicitation,
  PSH,
  readFrame,
  readSegment,
  RST,
  SYN,
  tcp,
  type TcpOptions,
  udp,
} from "./net-guest-frames.ts";
import { ScriptedGuest, settle } from "./net-scripted-guest.ts";
import { SeededRandom } from "./seeded-random.ts";

const ECHO_PORT = 7;
const TARGETS = ["198.18.0.1", "2001:db8::1", GATEWAY_IPV4, "127.0.0.1", "fd73:6278:0:1::2"];
/** A new stack after so many inputs; what is left of the others is in it until then. */
const INPUTS_A_STACK = 200;
const LIMITS = {
  ...{ maxFlows: 64, maxPending: 32, maxTimeWait: 8 },
  ...{
    receiveBudgetBytes: 512 * 1024,
    sendBudgetBytes: 512 * 1024,
    flowReceiveBytes: 256 * 1024,
    flowSendBytes: 128 * 1024,
  },
};
/** Each flow's writer may have put in one chunk more than there was room for. */
const CHUNK_BYTES = 20_000;
const LINK_QUEUE_BYTES = 800 * 1024;

/** Runs `iterations` inputs that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const corpus = readCorpus("net-frames");
  for (let begin = 0; begin < iterations; begin += INPUTS_A_STACK) {
    await tryStack(seed, begin, Math.min(iterations, begin + INPUTS_A_STACK), corpus);
  }
}

async function tryStack(seed: number, begin: number, end: number, corpus: Buffer[]): Promise<void> {
  const bench = new Bench(new SeededRandom(seed * 1_000_003 + begin));
  let input: Buffer = Buffer.alloc(0);
  let iteration = begin;
  try {
    for (; iteration < end; iteration++) {
      const random = new SeededRandom(seed * 1_000_003 + iteration);
      input = bench.makeInput(random, corpus);
      await bench.feed(input, random);
    }
    await bench.finish();
  } catch (error) {
    throw fuzzFailure("net-frames", seed, iteration, Buffer.concat([...bench.history, input]), error);
  } finally {
    bench.guest[Symbol.dispose]();
  }
}

/** A connection as a guest remembers it, good enough to be in its middle. */
interface Conversation {
  to: string;
  sourcePort: number;
  targetPort: number;
  sequence: number;
  ack: number;
}

class Bench {
  readonly guest: ScriptedGuest;
  /** What this stack has been fed, for the repro. */
  readonly history: Buffer[] = [];
  readonly #conversations: Conversation[] = [];
  readonly #streams = new Set<Duplex>();
  readonly #random: SeededRandom;
  /** Lengths before frames are QEMU's: where they are wrong too, no frame is found any more. */
  readonly #breaksFraming: boolean;
  #sent: Buffer[] = [];

  constructor(random: SeededRandom) {
    this.#random = random;
    this.#breaksFraming = random.chance(20);
    this.guest = new ScriptedGuest({
      limits: LIMITS,
      onFlow: (flow) => {
        if (flow.target.port === ECHO_PORT || random.chance(60)) this.#serve(flow.accept(), flow.target.port);
        else if (random.chance(50)) flow.refuse();
        else flow.onGone(() => undefined);
      },
    });
  }

  makeInput(random: SeededRandom, corpus: Buffer[]): Buffer {
    const pieces: Buffer[] = [];
    for (let count = 1 + random.below(6); count > 0; count--) pieces.push(this.#makePiece(random, corpus));
    if (random.chance(30)) pieces.sort(() => (random.chance(50) ? 1 : -1));
    return Buffer.concat(pieces);
  }

  async feed(input: Buffer, random: SeededRandom): Promise<void> {
    this.history.push(input);
    const { guest } = this;
    if (random.chance(2)) guest.link.stallGuest();
    if (random.chance(10)) guest.link.resumeGuest();
    for (const piece of random.chance(20) ? random.cut(input) : [input]) guest.link.push(piece);
    await new Promise((resolve) => setImmediate(resolve));
    if (random.chance(10)) await guest.pass(random.pick([10, 60, 1100, 31_000, 130_000]));
    this.#act(random);
    this.#check();
  }

  /** The guest comes to its senses: what was left half done ends, and a new connection works. */
  async finish(): Promise<void> {
    const { guest } = this;
    guest.link.resumeGuest();
    for (const stream of this.#streams) stream.destroy();
    for (const flow of guest.flows) answered(() => flow.refuse());
    await settle();
    await guest.pass(200_000);
    this.#check();
    const { flows, connections, receivedBytes, unacknowledgedBytes, linkQueueBytes } = guest.stack.memory;
    assert.deepEqual(
      { flows, connections, receivedBytes, unacknowledgedBytes, linkQueueBytes },
      { flows: 0, connections: 0, receivedBytes: 0, unacknowledgedBytes: 0, linkQueueBytes: 0 },
    );
    if (!this.#breaksFraming) await this.#checkGoodConnection();
  }

  async #checkGoodConnection(): Promise<void> {
    const { guest } = this;
    const end = await guest.dial({ targetPort: ECHO_PORT, sourcePort: 60_000 });
    const answer = guest.takeSegments().at(-1);
    assert.equal(answer?.flags, SYN | ACK, "no SYN-ACK");
    end.ack = (answer.sequence + 1) >>> 0;
    await end.send({ data: Buffer.from("still there?"), flags: ACK | PSH | FIN });
    await settle();
    const data = guest.takeSegments().map((segment) => String(segment.data));
    assert.equal(data.join(""), "still there?");
  }

  #serve(stream: Duplex, port: number): void {
    if (port === ECHO_PORT) {
      stream.pipe(stream);
      return;
    }
    this.#streams.add(stream);
    stream.once("close", () => this.#streams.delete(stream));
    if (this.#random.chance(50)) stream.resume();
  }

  /** Whoever holds the streams does something with them. */
  #act(random: SeededRandom): void {
    if (this.#streams.size === 0 || !random.chance(40)) return;
    const stream = random.pick([...this.#streams]);
    switch (random.below(6)) {
      case 0:
        stream.destroy();
        break;
      case 1:
        stream.end();
        break;
      case 2:
        stream.resume();
        break;
      case 3:
        stream.pause();
        break;
      default:
        if (!stream.writableNeedDrain && stream.writable) stream.write(Buffer.alloc(1 + random.below(CHUNK_BYTES)));
    }
  }

  #makePiece(random: SeededRandom, corpus: Buffer[]): Buffer {
    switch (random.below(12)) {
      case 0:
        return this.#breaksFraming ? random.bytes(random.below(100)) : Buffer.alloc(0);
      case 1:
        return this.#breaksFraming ? random.mutate(random.pick(corpus)) : mutateFrames(random, random.pick(corpus));
      case 2:
        return framed(random.bytes(random.below(200)));
      case 3:
        // Valid down to the IP header, random behind it.
        return framed(ethernet(random.pick([0x0800, 0x86dd, 0x0806]), random.bytes(random.below(120))));
      case 4:
        return this.#sent.length === 0 ? Buffer.alloc(0) : framed(random.pick(this.#sent));
      case 5:
        return this.#sent.length === 0 ? Buffer.alloc(0) : framed(random.mutate(random.pick(this.#sent)));
      default: {
        const frame = this.#makeFrame(random);
        this.#sent.push(frame);
        if (this.#sent.length > 50) this.#sent = this.#sent.slice(25);
        return framed(frame);
      }
    }
  }

  #makeFrame(random: SeededRandom): Buffer {
    const to = random.pick(TARGETS);
    switch (random.below(14)) {
      case 0:
        return arpRequest(random.pick([GATEWAY_IPV4, "198.19.0.2"]));
      case 1:
        return neighbourSolicitation(random.pick([GATEWAY_IPV6, "fe80::1"]));
      case 2:
        return icmp(
          Buffer.concat([Buffer.from([random.pick([8, 128, 3]), 0, 0, 0]), random.bytes(4 + random.below(50))]),
          { to },
        );
      case 3:
        return udp({ source: random.below(65_536), target: random.pick([53, 443]) }, random.bytes(random.below(90)), {
          to,
        });
      case 4:
      case 5:
        return this.#makeSyn(random, to);
      default:
        return this.#makeSegment(random);
    }
  }

  #makeSyn(random: SeededRandom, to: string): Buffer {
    const conversation: Conversation = {
      to,
      sourcePort: 1 + random.below(40),
      targetPort: random.pick([80, 443]),
      sequence: random.pick([0, 1000, 0xffff_fff0, random.next()]),
      ack: 0,
    };
    const tcpOptions = random.pick([
      Buffer.from([2, 4, 0xff, 0xc8, 1, 3, 3, 7]),
      Buffer.from([2, 4, 0, 1]),
      Buffer.from([3, 3, 14, 0]),
      Buffer.concat([random.bytes(4 * (1 + random.below(9)))]),
    ]);
    const frame = tcp({ ...conversation, flags: SYN, tcpOptions, window: random.below(65_536) });
    conversation.sequence = (conversation.sequence + 1) >>> 0;
    this.#conversations.push(conversation);
    if (this.#conversations.length > 100) this.#conversations.shift();
    return frame;
  }

  #makeSegment(random: SeededRandom): Buffer {
    if (this.#conversations.length === 0) return this.#makeSyn(random, "198.18.0.1");
    const conversation = random.pick(this.#conversations);
    const data = random.bytes(random.pick([0, 0, 1, 100, 1400, random.below(60_000)]));
    const nudge = (): number =>
      random.chance(75) ? 0 : random.pick([-1, 1, 100, -100, 65_535, 70_000, 0x7fff_ffff, random.next()]);
    const options: TcpOptions = {
      ...conversation,
      sequence: (conversation.sequence + nudge()) >>> 0,
      ack: (conversation.ack + nudge()) >>> 0,
      flags: random.pick([
        ACK,
        ACK,
        ACK | PSH,
        ACK | PSH,
        ACK | FIN,
        ACK | RST,
        RST,
        FIN,
        SYN,
        SYN | ACK,
        random.below(256),
      ]),
      window: random.pick([0, 1, 100, 0xffff, random.below(65_536)]),
      data,
    };
    if (random.chance(90)) conversation.sequence = (conversation.sequence + data.length + (options.flags & FIN)) >>> 0;
    return tcp(options);
  }

  /** Also learns what the stack expects and has sent, so that conversations get further than their first segment. */
  #check(): void {
    for (const frame of this.guest.take()) {
      readFrame(frame);
      const segment = readSegment(frame);
      if (segment === undefined) continue;
      for (const conversation of this.#conversations) {
        const isOf = conversation.sourcePort === segment.targetPort && conversation.targetPort === segment.sourcePort;
        if (!isOf || conversation.to !== segment.from) continue;
        const span = segment.data.length + (segment.flags & FIN) + ((segment.flags & SYN) >> 1);
        conversation.ack = (segment.sequence + span) >>> 0;
        if ((segment.flags & ACK) !== 0 && (segment.flags & RST) === 0) conversation.sequence = segment.ack;
      }
    }
    const { memory } = this.guest.stack;
    assert.ok(memory.flows <= LIMITS.maxFlows, `${memory.flows} flows`);
    assert.ok(memory.connections <= LIMITS.maxFlows + LIMITS.maxTimeWait, `${memory.connections} connections`);
    assert.ok(memory.receivedPeakBytes <= LIMITS.receiveBudgetBytes, `${memory.receivedPeakBytes} bytes received`);
    const sendBound = LIMITS.sendBudgetBytes + LIMITS.maxFlows * (CHUNK_BYTES + 64 * 1024);
    assert.ok(memory.unacknowledgedPeakBytes <= sendBound, `${memory.unacknowledgedPeakBytes} bytes unacknowledged`);
    assert.ok(memory.linkQueueBytes <= LINK_QUEUE_BYTES, `${memory.linkQueueBytes} bytes on the link`);
    assert.ok(memory.receivedBytes >= 0 && memory.unacknowledgedBytes >= 0);
  }
}

/** The frames of a corpus file, each changed by itself; what is no whole frame is left out. */
function mutateFrames(random: SeededRandom, file: Buffer): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at + 4 <= file.length;) {
    const end = at + 4 + file.readUInt32BE(at);
    if (end <= file.length) frames.push(framed(random.mutate(file.subarray(at + 4, end))));
    at = end;
  }
  return Buffer.concat(frames);
}

/** A flow that has been answered says so. */
function answered(act: () => void): void {
  try {
    act();
  } catch (error) {
    assert.match(String(error), /answered already/);
  }
}
