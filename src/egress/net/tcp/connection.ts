/**
 * The state of one flow (RFC 9293, 3.3.1). The standard's states are `phase` together with what is known of the two
 * FINs: ESTABLISHED is `open` without any, FIN-WAIT-1 `finSent`, FIN-WAIT-2 `finAcked`, CLOSE-WAIT `finReceived`,
 * LAST-ACK and CLOSING both. Sequence numbers are signed 32-bit numbers.
 */
import type { Endpoint } from "../../guest-flow.ts";
import type { IpAddress } from "../ip-address.ts";
import type { WheelTimer } from "../timer-wheel.ts";
import type { Reassembly } from "./reassembly.ts";
import type { ReceiveQueue } from "./receive-queue.ts";
import type { SendQueue } from "./send-queue.ts";

export type Phase =
  /** The guest's SYN waits for accept() or refuse(). */
  | "pending"
  | "syn-received"
  /** The flow is opened from here, and the guest has not answered. */
  | "syn-sent"
  | "open"
  | "time-wait"
  /** Its RST waits for room on the link. */
  | "resetting"
  | "closed";

/** The Duplex, as the connection sees it. */
export interface ConnectionStream {
  readonly destroyed: boolean;
  /** A reader waits, so data need not be queued. */
  readonly isReading: boolean;
  /** New data in order, when {@link isReading}. */
  onData(data: Buffer): void;
  /** The queue has more, or the guest's FIN has come. */
  onReadable(): void;
  /** The guest acknowledged data. */
  onAcknowledged(): void;
  /** The guest acknowledged the FIN. */
  onFinished(): void;
  fail(error: Error): void;
}

export class Connection {
  readonly id: number;
  /** The end on this side of the link: what the guest dialled. */
  readonly near: IpAddress;
  readonly nearPort: number;
  readonly far: IpAddress;
  readonly farPort: number;
  /** Key in the flow table, and the next one with the same key. */
  readonly hash: number;
  nextInBucket: Connection | undefined;
  phase: Phase = "pending";
  readonly timer: WheelTimer;
  stream: ConnectionStream | undefined;
  /** Whoever was handed the flow wants to know when it is over before it was answered. */
  onGone: (() => void) | undefined;
  /** Whoever opened the flow from here wants to know that the guest has accepted it. */
  onOpen: (() => void) | undefined;
  /** It counts as a flow until both it and its stream are over. */
  isCounted = true;
  /** Opened from this side. */
  isOwn = false;
  /** Its handshake is not complete. */
  isPending = true;
  /** It has something to send and is in the queue for that. */
  isScheduled = false;
  /** Waits for the tick of delayed acknowledgements. */
  isDelayed = false;

  /** When the SYN came, then when the phase was last changed, `ms`. */
  since: number;
  lastHeard: number;

  readonly sendQueue: SendQueue;
  readonly initialSend: number;
  sendUnacked: number;
  sendNext: number;
  /** What the guest last offered, behind `sendUnacked`, and the largest of all. */
  sendWindow = 0;
  maxSendWindow = 0;
  sendScale = 0;
  /** The segment that `sendWindow` came with (SND.WL1, SND.WL2). */
  windowSequence = 0;
  windowAck = 0;
  mss: number;
  finQueued = false;
  finSent = false;
  finAcked = false;
  synDue = false;
  retransmitDue = false;
  duplicateAcks = 0;
  /** While something lost is repeated: `sendNext` of the time when that was noticed. */
  recoverUntil: number | undefined;
  /** When to repeat or to probe; 0: nothing to do. */
  retryAt = 0;
  /** Repetitions so far, which the delay grows with. */
  retries = 0;
  /** Those of them that the guest did not answer although it was running, and when the last one was sent. */
  failures = 0;
  triedAt = 0;

  readonly receiveQueue: ReceiveQueue;
  readonly reassembly: Reassembly;
  initialReceive: number;
  receiveNext: number;
  /** End of the window as the guest was told. */
  receiveEdge: number;
  receiveScale = 0;
  /** Undefined: the guest does not scale windows. */
  scales = false;
  receivedBytes = 0;
  /** Where the guest's FIN is, when it has come. */
  finAt: number | undefined;
  finReceived = false;
  /** The guest closed after this side did: this side waits in TIME_WAIT. */
  closedFirst = false;
  ackDue: "none" | "soon" | "now" = "none";

  constructor(options: {
    id: number;
    near: IpAddress;
    nearPort: number;
    far: IpAddress;
    farPort: number;
    hash: number;
    timer: (connection: Connection) => WheelTimer;
    sendQueue: SendQueue;
    receiveQueue: ReceiveQueue;
    reassembly: Reassembly;
    initialSend: number;
    initialReceive: number;
    mss: number;
    now: number;
  }) {
    this.id = options.id;
    this.near = options.near;
    this.nearPort = options.nearPort;
    this.far = options.far;
    this.farPort = options.farPort;
    this.hash = options.hash;
    this.timer = options.timer(this);
    this.sendQueue = options.sendQueue;
    this.receiveQueue = options.receiveQueue;
    this.reassembly = options.reassembly;
    this.initialSend = options.initialSend;
    this.sendUnacked = options.initialSend;
    this.sendNext = options.initialSend;
    this.initialReceive = options.initialReceive;
    this.receiveNext = (options.initialReceive + 1) | 0;
    this.receiveEdge = this.receiveNext;
    this.mss = options.mss;
    this.since = options.now;
    this.lastHeard = options.now;
  }

  /** The guest's first sequence number has come after this side had begun. */
  receiveFrom(initialReceive: number, windowBytes: number): void {
    this.initialReceive = initialReceive;
    this.receiveNext = (initialReceive + 1) | 0;
    this.receiveEdge = (this.receiveNext + windowBytes) | 0;
  }

  get guest(): Endpoint {
    return { address: this.far.toString(), port: this.farPort };
  }

  get target(): Endpoint {
    return { address: this.near.toString(), port: this.nearPort };
  }

  /** Both directions have ended in order. */
  get isOver(): boolean {
    return this.finAcked && this.finReceived;
  }
}
