/**
 * All flows of a guest: finds the one that a segment is for, opens new ones within the limits, and gives each that has
 * something to send its turn, one segment at a time, as long as the link has room.
 */
import { randomInt } from "node:crypto";
import type { Duplex } from "node:stream";
import type { GuestFlow } from "../../guest-flow.ts";
import type { Clock } from "../clock.ts";
import type { DropKind, NetCounters } from "../counters.ts";
import type { IpAddress } from "../ip-address.ts";
import type { IpOutput } from "../ip-output.ts";
import type { NetLimits } from "../limits.ts";
import type { LinkWriter } from "../link-writer.ts";
import { MemoryBudget } from "../memory-budget.ts";
import type { Packet } from "../packet.ts";
import { TimerWheel, WheelTimer } from "../timer-wheel.ts";
import { Connection } from "./connection.ts";
import { FlowError, type TcpContext } from "./context.ts";
import { DelayedAcks } from "./delayed-acks.ts";
import { receiveSynAnswer } from "./dial.ts";
import { FlowStream } from "./flow-stream.ts";
import { FlowTable } from "./flow-table.ts";
import { receiveSegment } from "./input.ts";
import { PendingFlow } from "./listen.ts";
import { answerWithReset, linkMss, provoke, sendNext } from "./output.ts";
import { Reassembly } from "./reassembly.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { ahead, FLAG, readSegment, readSynOptions, Segment } from "./segment.ts";
import { SendQueue } from "./send-queue.ts";
import { deadline, onDue } from "./timers.ts";

/** Ports of this side for flows that are opened from here (RFC 6335, 6). */
const FIRST_OWN_PORT = 49_152;
const OWN_PORTS = 65_536 - FIRST_OWN_PORT;

interface Ends {
  near: IpAddress;
  nearPort: number;
  far: IpAddress;
  farPort: number;
}

export interface TcpEngineOptions {
  clock: Clock;
  limits: NetLimits;
  counters: NetCounters;
  output: IpOutput;
  link: LinkWriter;
  onFlow: (flow: GuestFlow) => void;
}

export class TcpEngine implements TcpContext {
  readonly limits: NetLimits;
  readonly counters: NetCounters;
  readonly output: IpOutput;
  readonly link: LinkWriter;
  readonly receiveBudget: MemoryBudget;
  readonly sendBudget: MemoryBudget;
  now: number;
  lastFrameAt = 0;
  readonly #clock: Clock;
  readonly #onFlow: (flow: GuestFlow) => void;
  readonly #wheel: TimerWheel;
  readonly #table = new FlowTable();
  readonly #segment = new Segment();
  readonly #timeWait = new Set<Connection>();
  /** Flows that have something to send, and those that wait for room on the link. */
  #ready: Connection[] = [];
  #blocked: Connection[] = [];
  readonly #delayed: DelayedAcks;
  readonly #delayedOwn: DelayedAcks;
  #isFlushing = false;
  #willFlush = false;
  #isClosed = false;
  #flows = 0;
  #pending = 0;
  #lastId = 0;
  #lastPort = randomInt(OWN_PORTS);

  constructor(options: TcpEngineOptions) {
    this.limits = options.limits;
    this.counters = options.counters;
    this.output = options.output;
    this.link = options.link;
    this.receiveBudget = new MemoryBudget(options.limits.receiveBudgetBytes);
    this.sendBudget = new MemoryBudget(options.limits.sendBudgetBytes);
    this.#clock = options.clock;
    this.now = options.clock.now();
    this.#onFlow = options.onFlow;
    this.#wheel = new TimerWheel(options.clock);
    const { delayedAckMs, ownDelayedAckMs } = this.limits;
    this.#delayed = new DelayedAcks(options.clock, delayedAckMs, (due) => this.#sendDelayed(due));
    this.#delayedOwn = new DelayedAcks(options.clock, ownDelayedAckMs, (due) => this.#sendDelayed(due));
  }

  /** Pending, open, or with a stream that is not destroyed. */
  get flows(): number {
    return this.#flows;
  }

  /** In the table, with those in TIME_WAIT. */
  get connections(): number {
    return this.#table.size;
  }

  /** Frames are about to be read. */
  beginBatch(): void {
    this.now = this.#clock.now();
    this.lastFrameAt = this.now;
  }

  /** Says why the segment was dropped, if it was. */
  receive(packet: Packet, far: IpAddress): DropKind | undefined {
    const segment = this.#segment;
    if (!readSegment(segment, packet)) return "malformed";
    const found = this.#table.find(packet, segment, far);
    if (found === undefined) return this.#receiveUnknown(packet, segment, far);
    return this.#receiveKnown(found, packet, segment, far);
  }

  /** For an address that the guest opens nothing with: only flows that were opened from here. False for nonsense. */
  receiveAnswer(packet: Packet, far: IpAddress): boolean {
    const segment = this.#segment;
    if (!readSegment(segment, packet)) return false;
    const found = this.#table.find(packet, segment, far);
    if (found === undefined) {
      if (!segment.has(FLAG.ack)) return false;
      // One of a former life, or that was given up.
      answerWithReset(this, packet.target(), far, segment);
      return true;
    }
    // A new connection from an old one's ports would be one that the guest opens.
    if (found.phase !== "time-wait" || !segment.has(FLAG.syn)) this.#receiveKnown(found, packet, segment, far);
    return true;
  }

  #receiveKnown(found: Connection, packet: Packet, segment: Segment, far: IpAddress): DropKind | undefined {
    switch (found.phase) {
      case "pending":
        return this.#receivePending(found, packet, segment, far);
      case "time-wait":
        return this.#receiveTimeWait(found, packet, segment, far);
      case "syn-received":
      case "open":
        receiveSegment(this, found, segment);
        if (found.phase === "open") this.#leavePending(found);
        return undefined;
      case "syn-sent":
        if (receiveSynAnswer(this, found, segment)) this.#leavePending(found);
        return undefined;
      case "resetting":
      case "closed":
        return undefined;
    }
  }

  /**
   * Opens a flow to a server of the guest. What is written before the guest has answered waits.
   *
   * @param onOpen called when the guest has accepted it; otherwise the stream fails, with ECONNREFUSED where nothing listens
   */
  connect(near: IpAddress, far: IpAddress, farPort: number, onOpen: () => void): Duplex {
    if (this.#isClosed) throw new FlowError("ECANCELED", "the network link was closed");
    if (this.#flows >= this.limits.maxFlows) throw new FlowError("ECANCELED", "the guest has too many connections");
    this.now = this.#clock.now();
    const nearPort = this.#freePort(near, farPort);
    const connection = this.#newConnection({ near, nearPort, far, farPort, initialReceive: 0, mss: linkMss(near) });
    const stream = new FlowStream(this, connection);
    connection.stream = stream;
    connection.onOpen = onOpen;
    connection.isOwn = true;
    connection.phase = "syn-sent";
    connection.sendNext = (connection.initialSend + 1) | 0;
    connection.synDue = true;
    // What the SYN's window field cannot say before the guest has agreed to it.
    connection.scales = true;
    this.schedule(connection);
    this.arm(connection);
    return stream;
  }

  schedule(connection: Connection): void {
    if (connection.isScheduled || this.#isClosed) return;
    connection.isScheduled = true;
    this.#ready.push(connection);
    this.#flushLater();
  }

  arm(connection: Connection): void {
    const at = deadline(this, connection);
    if (at !== Infinity && !this.#isClosed) this.#wheel.arm(connection.timer, at);
  }

  abort(connection: Connection, error?: Error): void {
    if (connection.phase === "resetting" || connection.phase === "closed") return;
    this.#leavePending(connection);
    this.#forget(connection);
    connection.phase = "resetting";
    this.schedule(connection);
    if (error !== undefined) connection.stream?.fail(error);
  }

  remove(connection: Connection): void {
    if (connection.phase === "closed") return;
    this.#leavePending(connection);
    this.#forget(connection);
    connection.phase = "closed";
    this.#table.remove(connection);
    this.release(connection);
  }

  release(connection: Connection): void {
    // One whose RST waits for room still counts: a guest that takes no frames could pile them up.
    const isOver = connection.phase === "closed" || connection.phase === "time-wait";
    if (!connection.isCounted || !isOver || connection.stream?.destroyed === false) return;
    connection.isCounted = false;
    this.#flows--;
  }

  enterTimeWait(connection: Connection): void {
    connection.sendQueue.clear();
    this.#timeWait.add(connection);
    const [oldest] = this.#timeWait;
    if (this.#timeWait.size > this.limits.maxTimeWait && oldest !== undefined) this.remove(oldest);
  }

  /** Connections that the guest has, or is about to have. */
  list(): { near: IpAddress; nearPort: number; farPort: number }[] {
    return this.#table.all().filter(({ phase }) => phase === "open" || phase === "syn-received");
  }

  /**
   * Ends connections that the guest has and this engine does not know, those of a machine that the guest is a copy of. A
   * SYN within a connection makes the guest say where it is (RFC 5961, 4.2), and that answer is answered with a reset.
   */
  breakOff(near: IpAddress, nearPort: number, far: IpAddress, farPort: number): void {
    if (!this.#isClosed) provoke(this, { near, nearPort, far, farPort });
  }

  /** Sends what can be sent. */
  flush(): void {
    this.#willFlush = false;
    if (this.#isFlushing || this.#isClosed) return;
    this.#isFlushing = true;
    // Sending may schedule again; each flow has its turn before any has the next one.
    while (this.#ready.length > 0) {
      const turn = this.#ready;
      this.#ready = [];
      for (const connection of turn) this.#sendOne(connection);
    }
    this.#isFlushing = false;
    this.link.flush();
  }

  /** The link has taken some of its queue. */
  onRoom(): void {
    if (this.#blocked.length === 0 || this.#isClosed) return;
    this.now = this.#clock.now();
    this.#ready.push(...this.#blocked);
    this.#blocked = [];
    this.flush();
  }

  /** Ends all flows with an error, and tells the guest nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#delayed.close();
    this.#delayedOwn.close();
    this.#wheel.close();
    for (const connection of this.#table.all()) {
      const { stream, onGone, phase } = connection;
      connection.onGone = undefined;
      this.remove(connection);
      if (phase !== "time-wait") stream?.fail(new FlowError("ECANCELED", "the network link was closed"));
      onGone?.();
    }
    this.#ready = [];
    this.#blocked = [];
  }

  #sendOne(connection: Connection): void {
    switch (sendNext(this, connection)) {
      case "more":
        this.#ready.push(connection);
        return;
      case "blocked":
        this.#blocked.push(connection);
        return;
      case "idle":
        connection.isScheduled = false;
        if (connection.ackDue === "soon") (connection.isOwn ? this.#delayedOwn : this.#delayed).add(connection);
    }
  }

  #sendDelayed(due: readonly Connection[]): void {
    this.now = this.#clock.now();
    for (const connection of due) {
      connection.ackDue = "now";
      this.schedule(connection);
    }
    this.flush();
  }

  #flushLater(): void {
    if (this.#willFlush || this.#isFlushing) return;
    this.#willFlush = true;
    process.nextTick(() => {
      if (!this.#willFlush) return;
      this.now = this.#clock.now();
      this.flush();
    });
  }

  #receiveUnknown(packet: Packet, segment: Segment, far: IpAddress): DropKind | undefined {
    const isSyn = segment.has(FLAG.syn) && !segment.has(FLAG.ack | FLAG.rst | FLAG.fin);
    if (isSyn) return this.#open(packet, segment, far);
    answerWithReset(this, packet.target(), far, segment);
    return undefined;
  }

  /** The guest waits for its answer; or it has given up and begins anew. */
  #receivePending(found: Connection, packet: Packet, segment: Segment, far: IpAddress): DropKind | undefined {
    const offset = ahead(segment.sequence, found.initialReceive);
    if (segment.has(FLAG.rst)) {
      if (offset === 0 || offset === 1) this.#abandon(found);
      return undefined;
    }
    if (!segment.has(FLAG.syn) || segment.has(FLAG.ack)) {
      answerWithReset(this, found.near, far, segment);
      return undefined;
    }
    if (offset === 0) return undefined;
    this.#abandon(found);
    return this.#open(packet, segment, far);
  }

  /** A new connection may use the ports again if it cannot be mistaken for the old one (RFC 6191). */
  #receiveTimeWait(found: Connection, packet: Packet, segment: Segment, far: IpAddress): DropKind | undefined {
    if (segment.has(FLAG.rst)) return undefined;
    if (segment.has(FLAG.syn) && !segment.has(FLAG.ack) && ahead(segment.sequence, found.receiveNext) >= 0) {
      this.remove(found);
      return this.#open(packet, segment, far);
    }
    receiveSegment(this, found, segment);
    return undefined;
  }

  #abandon(connection: Connection): void {
    const { onGone } = connection;
    connection.onGone = undefined;
    this.remove(connection);
    onGone?.();
  }

  #open(packet: Packet, segment: Segment, far: IpAddress): DropKind | undefined {
    if (this.#pending >= this.limits.maxPending) return "limit";
    if (this.#flows >= this.limits.maxFlows) {
      answerWithReset(this, packet.target(), far, segment);
      return "limit";
    }
    const connection = this.#makeConnection(packet.target(), far, segment);
    this.arm(connection);
    this.#onFlow(new PendingFlow(this, connection));
    return undefined;
  }

  #makeConnection(near: IpAddress, far: IpAddress, segment: Segment): Connection {
    const { mss, windowScale } = readSynOptions(segment);
    const connection = this.#newConnection({
      ...{ near, nearPort: segment.targetPort, far, farPort: segment.sourcePort },
      initialReceive: segment.sequence,
      mss: Math.min(mss, linkMss(near)),
    });
    connection.scales = windowScale !== undefined;
    connection.sendScale = windowScale ?? 0;
    return connection;
  }

  /** In the table, counted, and pending. */
  #newConnection(ends: Ends & { initialReceive: number; mss: number }): Connection {
    this.#lastId++;
    const connection = new Connection({
      ...{ id: this.#lastId, ...ends, now: this.now },
      hash: this.#table.hash(ends.near, ends.nearPort, ends.farPort),
      timer: (owner) => new WheelTimer((now) => this.#onDue(owner, now)),
      sendQueue: new SendQueue(this.sendBudget),
      receiveQueue: new ReceiveQueue(this.receiveBudget),
      reassembly: new Reassembly(this.receiveBudget, this.limits),
      initialSend: randomInt(2 ** 32) | 0,
    });
    this.#table.add(connection);
    this.#flows++;
    this.#pending++;
    this.counters.flows++;
    return connection;
  }

  /** @throws FlowError if there is none, which takes tens of thousands of connections to one port */
  #freePort(near: IpAddress, farPort: number): number {
    for (let tried = 0; tried < OWN_PORTS; tried++) {
      this.#lastPort = (this.#lastPort + 1) % OWN_PORTS;
      const port = FIRST_OWN_PORT + this.#lastPort;
      if (!this.#table.has(near, port, farPort)) return port;
    }
    throw new FlowError("ECANCELED", "no port is free for a connection to the guest");
  }

  #onDue(connection: Connection, now: number): void {
    this.now = now;
    onDue(this, connection);
    this.#flushLater();
  }

  /** The handshake is complete, or will never be. */
  #leavePending(connection: Connection): void {
    if (!connection.isPending) return;
    connection.isPending = false;
    this.#pending--;
  }

  /** Nothing is outstanding any more; what was received stays with its stream. */
  #forget(connection: Connection): void {
    this.#wheel.disarm(connection.timer);
    this.#timeWait.delete(connection);
    connection.sendQueue.clear();
    connection.reassembly.clear();
  }
}
