/** A network stack with a guest whose every frame is written by hand, and a clock that stands still until it is moved. */
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import type { Endpoint, GuestDatagram, GuestFlow } from "../src/egress/guest-flow.ts";
import type { Clock } from "../src/egress/net/clock.ts";
import type { DropKind } from "../src/egress/net/counters.ts";
import type { NetLimits } from "../src/egress/net/limits.ts";
import { type NetStack, openNetStack } from "../src/egress/net/net-stack.ts";
import {
  ACK,
  ethernet,
  FIN,
  framed,
  readSegment,
  type ReadSegment,
  RST,
  SYN,
  tcp,
  type TcpOptions,
} from "./net-guest-frames.ts";

interface Waiting {
  at: number;
  callback: () => void;
}

export class ManualClock implements Clock {
  #now = 1_000_000;
  readonly #waiting = new Set<Waiting>();

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    const waiting = { at: this.#now + ms, callback };
    this.#waiting.add(waiting);
    return () => this.#waiting.delete(waiting);
  }

  /** Calls back what is due, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      let next: Waiting | undefined;
      for (const waiting of this.#waiting)
        if (waiting.at <= end && (next === undefined || waiting.at < next.at)) next = waiting;
      if (next === undefined) break;
      this.#waiting.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = end;
  }
}

/** The link, with the guest's end as methods. What the stack writes is copied: it uses the memory again. */
export class ScriptedLink extends Duplex {
  readonly #onBytes: (bytes: Buffer) => void;
  #isStalled = false;
  #held: (() => void) | undefined;

  constructor(onBytes: (bytes: Buffer) => void) {
    super({ readableHighWaterMark: 1024 * 1024 });
    this.#onBytes = onBytes;
  }

  /** The guest takes nothing until {@link resumeGuest}. */
  stallGuest(): void {
    this.#isStalled = true;
  }

  resumeGuest(): void {
    this.#isStalled = false;
    this.#held?.();
  }

  override _read(): void {
    // The guest sends when it likes.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const deliver = (): void => {
      this.#held = undefined;
      this.#onBytes(Buffer.from(chunk));
      done();
    };
    if (this.#isStalled) this.#held = deliver;
    else deliver();
  }
}

export interface GuestOptions {
  limits?: Partial<NetLimits>;
  /** Called instead of only keeping the flow. */
  onFlow?: (flow: GuestFlow) => void;
}

export class ScriptedGuest implements Disposable {
  readonly clock = new ManualClock();
  readonly stack: NetStack;
  readonly flows: GuestFlow[] = [];
  readonly datagrams: GuestDatagram[] = [];
  readonly drops: { kind: DropKind; target: Endpoint | undefined }[] = [];
  readonly link: ScriptedLink;
  #frames: Buffer[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #lastPort = 40_000;

  constructor(options: GuestOptions = {}) {
    this.link = new ScriptedLink((bytes) => this.#read(bytes));
    this.stack = openNetStack({
      link: this.link,
      onFlow: (flow) => {
        this.flows.push(flow);
        options.onFlow?.(flow);
      },
      onDatagram: (datagram) => this.datagrams.push(datagram),
      onDropped: (kind, target) => this.drops.push({ kind, target }),
      limits: options.limits ?? {},
      clock: this.clock,
    });
  }

  /** Sends frames in one piece, and lets the stack answer. */
  async send(...frames: Buffer[]): Promise<void> {
    await this.sendRaw(Buffer.concat(frames.map(framed)));
  }

  /** Bytes as they are, without lengths before them. */
  async sendRaw(bytes: Buffer): Promise<void> {
    this.link.push(bytes);
    await settle();
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await settle();
  }

  /** What has arrived since the last time. */
  take(): Buffer[] {
    const frames = this.#frames;
    this.#frames = [];
    return frames;
  }

  takeSegments(): ReadSegment[] {
    return this.take().flatMap((frame) => readSegment(frame) ?? []);
  }

  /** The only segment that has arrived. */
  takeSegment(): ReadSegment {
    const [segment, ...others] = this.takeSegments();
    assert.ok(segment !== undefined && others.length === 0, `${others.length + (segment ? 1 : 0)} segments`);
    return segment;
  }

  /** Something that shows that the guest runs, and is not answered. */
  aliveFrame(): Buffer {
    return ethernet(0x88cc, Buffer.alloc(46));
  }

  nextPort(): number {
    return this.#lastPort++;
  }

  /** Opens a flow up to its SYN. */
  async dial(options: Partial<TcpOptions> = {}): Promise<GuestEnd> {
    const end = new GuestEnd(this, options);
    await end.sendSyn();
    return end;
  }

  /** Opens a flow that is accepted. */
  async connect(options: Partial<TcpOptions> = {}): Promise<{ end: GuestEnd; stream: Duplex }> {
    const end = await this.dial(options);
    const flow = this.flows.at(-1);
    assert.ok(flow !== undefined);
    const stream = flow.accept();
    await settle();
    const answer = this.takeSegment();
    assert.equal(answer.flags, SYN | ACK);
    end.ack = (answer.sequence + 1) >>> 0;
    await end.send({});
    return { end, stream };
  }

  [Symbol.dispose](): void {
    this.stack.close();
  }

  #read(chunk: Buffer): void {
    let bytes: Buffer = Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 4) {
      const length = bytes.readUInt32BE(0);
      if (bytes.length < 4 + length) break;
      this.#frames.push(bytes.subarray(4, 4 + length));
      bytes = bytes.subarray(4 + length);
    }
    this.#rest = bytes;
  }
}

/** One TCP connection, at the guest: it does only what it is told. */
export class GuestEnd {
  readonly #guest: ScriptedGuest;
  readonly #base: Partial<TcpOptions>;
  readonly port: number;
  /** Next to send, and next to receive. */
  sequence: number;
  ack = 0;
  window = 0xffff;

  constructor(guest: ScriptedGuest, base: Partial<TcpOptions>) {
    this.#guest = guest;
    this.#base = base;
    this.port = base.sourcePort ?? guest.nextPort();
    this.sequence = base.sequence ?? 1000;
  }

  frame(options: Partial<TcpOptions>): Buffer {
    return tcp({
      ...{ to: "198.18.0.1", targetPort: 443, flags: ACK, window: this.window },
      ...this.#base,
      ...{ sourcePort: this.port, sequence: this.sequence, ack: this.ack },
      ...options,
    });
  }

  async sendSyn(options: Partial<TcpOptions> = {}): Promise<void> {
    const tcpOptions = Buffer.from([2, 4, 0xff, 0xc8, 1, 3, 3, 7]);
    await this.#guest.send(this.frame({ flags: SYN, ack: 0, tcpOptions, ...this.#base, ...options }));
    this.sequence = (this.sequence + 1) >>> 0;
  }

  /** Sends a segment and moves on behind its data and FIN. */
  async send(options: Partial<TcpOptions>): Promise<void> {
    const frame = this.frame(options);
    const span = (options.data?.length ?? 0) + ((options.flags ?? 0) & FIN);
    this.sequence = (this.sequence + span) >>> 0;
    await this.#guest.send(frame);
  }

  async reset(): Promise<void> {
    await this.#guest.send(this.frame({ flags: RST | ACK }));
  }
}

/** Streams, ticks and the link have done what they had to do. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
