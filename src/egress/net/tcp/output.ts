/** Builds and sends the segments of a flow: what is due and what the guest's window allows, one at a time. */
import { writeShort, writeWord } from "../ip-output.ts";
import { LINK_MTU_BYTES } from "../addresses.ts";
import type { IpAddress } from "../ip-address.ts";
import { PROTOCOL } from "../packet.ts";
import type { Connection } from "./connection.ts";
import type { TcpContext } from "./context.ts";
import { ahead, FLAG, type Segment, TCP_HEADER_BYTES } from "./segment.ts";
import { INITIAL_WINDOW_BYTES, offerWindow, RECEIVE_SCALE } from "./window.ts";

const SYN_OPTIONS_BYTES = 8;

export type Sent =
  /** Another segment could follow at once. */
  | "more"
  /** There is nothing more to send for now. */
  | "idle"
  /** The link has no room. */
  | "blocked";

/** The largest segment that fits the link. */
export function linkMss(address: IpAddress): number {
  return LINK_MTU_BYTES - (address.version === 4 ? 20 : 40) - TCP_HEADER_BYTES;
}

/** Sends at most one segment. */
export function sendNext(context: TcpContext, connection: Connection): Sent {
  switch (connection.phase) {
    case "pending":
    case "closed":
      return "idle";
    case "resetting":
      if (!sendReset(context, connection)) return "blocked";
      context.remove(connection);
      return "idle";
    case "syn-received":
      return connection.synDue ? sendSyn(context, connection, FLAG.syn | FLAG.ack) : "idle";
    case "syn-sent":
      return connection.synDue ? sendSyn(context, connection, FLAG.syn) : "idle";
    case "open":
    case "time-wait":
      return sendOpen(context, connection);
  }
}

function sendOpen(context: TcpContext, connection: Connection): Sent {
  const sent = connection.retransmitDue ? repeat(context, connection) : sendFresh(context, connection);
  if (sent === "more" || connection.ackDue !== "now") return sent;
  return sendAck(context, connection) ? sent : "blocked";
}

/** Data and FIN that have not been sent. */
function sendFresh(context: TcpContext, connection: Connection): Sent {
  if (connection.finSent) return "idle";
  const offset = ahead(connection.sendNext, connection.sendUnacked);
  const unsent = connection.sendQueue.bytes - offset;
  if (unsent === 0 && !connection.finQueued) return "idle";
  const usable = Math.max(0, connection.sendWindow - offset);
  const length = Math.min(unsent, connection.mss, usable);
  const isWorthSending = length === unsent || length === connection.mss || length >= connection.maxSendWindow / 2;
  if (usable === 0 || !isWorthSending) {
    if (offset === 0) retryLater(context, connection);
    return "idle";
  }
  if (!context.link.hasRoomForData) return "blocked";
  const isLast = length === unsent;
  const fin = isLast && connection.finQueued && usable > length;
  const flags = FLAG.ack | (isLast ? FLAG.psh : 0) | (fin ? FLAG.fin : 0);
  if (!emit(context, connection, flags, offset, length)) return "blocked";
  connection.sendNext = (connection.sendNext + length + (fin ? 1 : 0)) | 0;
  connection.finSent = fin;
  retryLater(context, connection);
  return isLast ? "idle" : "more";
}

/** What the guest is missing first. */
function repeat(context: TcpContext, connection: Connection): Sent {
  const fin = connection.finSent && !connection.finAcked;
  const inFlight = ahead(connection.sendNext, connection.sendUnacked) - (fin ? 1 : 0);
  const length = Math.min(Math.max(0, inFlight), connection.mss);
  const withFin = fin && length === inFlight;
  if (length === 0 && !withFin) {
    connection.retransmitDue = false;
    return "more";
  }
  if (!context.link.hasRoomForData) return "blocked";
  const flags = FLAG.ack | FLAG.psh | (withFin ? FLAG.fin : 0);
  if (!emit(context, connection, flags, 0, length)) return "blocked";
  connection.retransmitDue = false;
  context.counters.retransmits++;
  return "more";
}

/** Starts the timer for what was sent, or what cannot be sent because the window is too small. */
function retryLater(context: TcpContext, connection: Connection): void {
  if (connection.retryAt !== 0) return;
  connection.triedAt = context.now;
  connection.retryAt = context.now + context.limits.retransmitMs;
  context.arm(connection);
}

/** Asks for an acknowledgement: its sequence number is one that the guest has had (as Linux probes). */
export function sendProbe(context: TcpContext, connection: Connection): void {
  emit(context, connection, FLAG.ack, -1, 0);
}

/** For a window that is open but smaller than is worth it, and stays so. Says whether something was sent. */
export function sendAnyway(context: TcpContext, connection: Connection): boolean {
  const unsent = connection.sendQueue.bytes;
  const length = Math.min(unsent, connection.sendWindow, connection.mss);
  if (length === 0 || connection.sendNext !== connection.sendUnacked) return false;
  if (!context.link.hasRoomForData || !emit(context, connection, FLAG.ack | FLAG.psh, 0, length)) return false;
  connection.sendNext = (connection.sendNext + length) | 0;
  return true;
}

function sendAck(context: TcpContext, connection: Connection): boolean {
  return emit(context, connection, FLAG.ack, ahead(connection.sendNext, connection.sendUnacked), 0);
}

/** @param offset of the sequence number, and of the data, from the first unacknowledged byte */
function emit(context: TcpContext, connection: Connection, flags: number, offset: number, length: number): boolean {
  const { output } = context;
  const { near, far } = connection;
  const total = TCP_HEADER_BYTES + length;
  const at = output.begin(near, far, PROTOCOL.tcp, total);
  if (at < 0) return false;
  const { memory } = output;
  writePorts(memory, at, connection.nearPort, connection.farPort);
  writeWord(memory, at + 4, (connection.sendUnacked + offset) | 0);
  writeWord(memory, at + 8, connection.receiveNext);
  writeFlags(memory, at, TCP_HEADER_BYTES, flags, offerWindow(context, connection));
  if (length > 0) connection.sendQueue.copyTo(memory, at + TCP_HEADER_BYTES, offset, length);
  writeShort(memory, at + 16, output.checksum(near, far, PROTOCOL.tcp, at, total));
  connection.ackDue = "none";
  return true;
}

function sendSyn(context: TcpContext, connection: Connection, flags: number): Sent {
  const { output } = context;
  const { near, far } = connection;
  const total = TCP_HEADER_BYTES + SYN_OPTIONS_BYTES;
  const at = output.begin(near, far, PROTOCOL.tcp, total);
  if (at < 0) return "blocked";
  const { memory } = output;
  writePorts(memory, at, connection.nearPort, connection.farPort);
  writeWord(memory, at + 4, connection.initialSend);
  writeWord(memory, at + 8, (flags & FLAG.ack) === 0 ? 0 : connection.receiveNext);
  writeFlags(memory, at, total, flags, INITIAL_WINDOW_BYTES);
  connection.receiveEdge = (connection.receiveNext + INITIAL_WINDOW_BYTES) | 0;
  // MSS; then nothing and a window scale, which a guest that offered none would not understand: four times nothing.
  writeWord(memory, at + 20, 0x0204_0000 | linkMss(near));
  writeWord(memory, at + 24, connection.scales ? 0x0103_0300 | RECEIVE_SCALE : 0x0101_0101);
  writeShort(memory, at + 16, output.checksum(near, far, PROTOCOL.tcp, at, total));
  connection.synDue = false;
  retryLater(context, connection);
  return "idle";
}

function sendReset(context: TcpContext, connection: Connection): boolean {
  const { near, nearPort, far, farPort } = connection;
  // A SYN that was not answered is refused in the same way as by a closed port.
  const isRefusal = connection.sendNext === connection.initialSend;
  const sequence = isRefusal ? 0 : connection.sendNext;
  return emitReset(context, { near, nearPort, far, farPort }, sequence, connection.receiveNext, FLAG.rst | FLAG.ack);
}

interface Ends {
  near: IpAddress;
  nearPort: number;
  far: IpAddress;
  farPort: number;
}

/** Answers a segment that belongs to no flow (RFC 9293, 3.10.7.1). Left out if there is no room: it will be repeated. */
export function answerWithReset(context: TcpContext, near: IpAddress, far: IpAddress, segment: Segment): void {
  if (segment.has(FLAG.rst)) return;
  const ends = { near, nearPort: segment.targetPort, far, farPort: segment.sourcePort };
  const sent = segment.has(FLAG.ack)
    ? emitReset(context, ends, segment.ack, 0, FLAG.rst)
    : emitReset(context, ends, 0, (segment.sequence + segment.span) | 0, FLAG.rst | FLAG.ack);
  if (!sent) context.counters.answersDropped++;
}

function emitReset(context: TcpContext, ends: Ends, sequence: number, ack: number, flags: number): boolean {
  if (!emitBare(context, ends, sequence, ack, flags)) return false;
  context.counters.resetsSent++;
  return true;
}

/** A SYN where the guest expects none. Left out if there is no room. */
export function provoke(context: TcpContext, ends: Ends): void {
  if (!emitBare(context, ends, 0, 0, FLAG.syn)) context.counters.answersDropped++;
}

/** A segment without data, of no connection here. */
function emitBare(context: TcpContext, ends: Ends, sequence: number, ack: number, flags: number): boolean {
  const { output } = context;
  const at = output.begin(ends.near, ends.far, PROTOCOL.tcp, TCP_HEADER_BYTES);
  if (at < 0) return false;
  const { memory } = output;
  writePorts(memory, at, ends.nearPort, ends.farPort);
  writeWord(memory, at + 4, sequence);
  writeWord(memory, at + 8, ack);
  writeFlags(memory, at, TCP_HEADER_BYTES, flags, 0);
  writeShort(memory, at + 16, output.checksum(ends.near, ends.far, PROTOCOL.tcp, at, TCP_HEADER_BYTES));
  return true;
}

function writePorts(memory: Buffer, at: number, source: number, target: number): void {
  writeShort(memory, at, source);
  writeShort(memory, at + 2, target);
}

/** Flags and window; the checksum and the urgent pointer are 0 until then and for ever. */
function writeFlags(memory: Buffer, at: number, headerBytes: number, flags: number, window: number): void {
  writeWord(memory, at + 12, (headerBytes << 26) | (flags << 16) | window);
  writeWord(memory, at + 16, 0);
}
