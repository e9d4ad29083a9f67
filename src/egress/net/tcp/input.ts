/** A segment for a flow that exists (RFC 9293, 3.10.7.4, with the caution of RFC 5961). The guest wrote all of it. */
import { openFlow, readAck } from "./acknowledge.ts";
import type { Connection } from "./connection.ts";
import { FlowError, type TcpContext } from "./context.ts";
import { answerWithReset } from "./output.ts";
import { ahead, FLAG, type Segment } from "./segment.ts";
import { isWorthTelling } from "./window.ts";

/** A segment of less, with PSH, is a message: whoever sent it may wait for its acknowledgement (Nagle). */
const MESSAGE_BYTES = 16 * 1024;

export function receiveSegment(context: TcpContext, connection: Connection, segment: Segment): void {
  if (connection.phase === "syn-received" && isRepeatedSyn(connection, segment)) {
    connection.synDue = true;
    context.schedule(connection);
    return;
  }
  const offset = ahead(segment.sequence, connection.receiveNext);
  if (!isAcceptable(connection, segment, offset)) {
    if (!segment.has(FLAG.rst)) acknowledge(context, connection);
    return;
  }
  if (segment.has(FLAG.rst)) {
    // Only the exact number: anything else in the window asks for proof (RFC 5961, 3.2).
    if (offset === 0) reset(context, connection);
    else acknowledge(context, connection);
    return;
  }
  if (segment.has(FLAG.syn)) {
    acknowledge(context, connection);
    return;
  }
  if (!segment.has(FLAG.ack)) return;
  if (connection.phase === "syn-received" && !establish(context, connection, segment)) return;
  if (!readAck(context, connection, segment)) {
    acknowledge(context, connection);
    return;
  }
  connection.lastHeard = context.now;
  takePayload(context, connection, segment, offset);
  concludeEnds(context, connection);
}

function isRepeatedSyn(connection: Connection, segment: Segment): boolean {
  return segment.has(FLAG.syn) && !segment.has(FLAG.ack | FLAG.rst) && segment.sequence === connection.initialReceive;
}

/** The sequence check, except that a closed window does not keep acknowledgements out. */
function isAcceptable(connection: Connection, segment: Segment, offset: number): boolean {
  const window = Math.max(0, ahead(connection.receiveEdge, connection.receiveNext));
  if (offset === 0) return true;
  if (segment.span === 0) return offset > 0 && offset <= window;
  return offset < window && offset + segment.span > 0;
}

/** The handshake's last segment. */
function establish(context: TcpContext, connection: Connection, segment: Segment): boolean {
  if (segment.ack !== connection.sendNext) {
    answerWithReset(context, connection.near, connection.far, segment);
    return false;
  }
  openFlow(context, connection, segment);
  return true;
}

function reset(context: TcpContext, connection: Connection): void {
  const { stream } = connection;
  context.remove(connection);
  stream?.fail(new FlowError("ECONNRESET", "the guest reset the connection"));
}

/** Also the answer to keep-alives and to probes of a closed window. */
function acknowledge(context: TcpContext, connection: Connection): void {
  connection.ackDue = "now";
  context.schedule(connection);
}

function takePayload(context: TcpContext, connection: Connection, segment: Segment, offset: number): void {
  if (connection.finReceived) return;
  const window = Math.max(0, ahead(connection.receiveEdge, connection.receiveNext));
  const skipped = Math.max(0, -offset);
  const begin = Math.min(segment.end, segment.begin + skipped);
  const end = Math.min(segment.end, begin + Math.max(0, window - Math.max(0, offset)));
  const hasMore = segment.end > segment.begin;
  if (segment.has(FLAG.fin) && end === segment.end) {
    connection.finAt = (segment.sequence + segment.end - segment.begin) | 0;
  }
  if (offset > 0) {
    connection.reassembly.insert(segment.sequence, segment.bytes, begin, end);
    acknowledge(context, connection);
  } else if (begin < end) {
    takeInOrder(context, connection, segment, begin, end);
  } else if (hasMore) {
    acknowledge(context, connection);
  }
  takeFin(context, connection);
}

function takeInOrder(context: TcpContext, connection: Connection, segment: Segment, begin: number, end: number): void {
  if (!deliver(connection, segment.bytes, begin, end)) {
    context.counters.memoryDrops++;
    return;
  }
  // Its reader may have destroyed it.
  if (!isOpen(connection)) return;
  if (!connection.reassembly.isEmpty) {
    drainReassembly(context, connection);
    acknowledge(context, connection);
  } else if (segment.has(FLAG.psh) && end - begin < MESSAGE_BYTES && !connection.isOwn) {
    acknowledge(context, connection);
  } else {
    acknowledgeSoon(context, connection);
  }
}

/** Hands it to the reader or queues it; false if there is no memory. */
function deliver(connection: Connection, bytes: Buffer, begin: number, end: number): boolean {
  const { receiveQueue, stream } = connection;
  if (stream?.isReading === true && receiveQueue.isEmpty) {
    const data = receiveQueue.lend(bytes, begin, end);
    if (data === undefined) return false;
    advance(connection, end - begin);
    stream.onData(data);
    return true;
  }
  if (!receiveQueue.append(bytes, begin, end)) return false;
  advance(connection, end - begin);
  return true;
}

function advance(connection: Connection, length: number): void {
  connection.receiveNext = (connection.receiveNext + length) | 0;
  connection.receivedBytes += length;
}

function drainReassembly(context: TcpContext, connection: Connection): void {
  while (isOpen(connection)) {
    const data = connection.reassembly.take(connection.receiveNext);
    if (data === undefined) return;
    if (!deliver(connection, data, 0, data.length)) {
      context.counters.memoryDrops++;
      return;
    }
  }
}

function acknowledgeSoon(context: TcpContext, connection: Connection): void {
  if (connection.ackDue === "now") return;
  connection.ackDue = isWorthTelling(context, connection) ? "now" : "soon";
  context.schedule(connection);
}

function takeFin(context: TcpContext, connection: Connection): void {
  if (connection.finAt === undefined || !isOpen(connection)) return;
  const missing = ahead(connection.finAt, connection.receiveNext);
  if (missing > 0) return;
  // A hostile guest may end its stream before bytes that it has sent; those count, and its next FIN.
  if (missing < 0) {
    connection.finAt = undefined;
    return;
  }
  connection.receiveNext = (connection.receiveNext + 1) | 0;
  connection.finReceived = true;
  connection.closedFirst = connection.finSent;
  connection.reassembly.clear();
  acknowledge(context, connection);
  connection.stream?.onReadable();
}

function isOpen(connection: Connection): boolean {
  return connection.phase === "open";
}

/** Tells the stream what was acknowledged, and ends the flow when both sides have. */
function concludeEnds(context: TcpContext, connection: Connection): void {
  if (!isOpen(connection)) return;
  connection.stream?.onAcknowledged();
  if (connection.finAcked) connection.stream?.onFinished();
  if (!connection.isOver) {
    context.arm(connection);
    return;
  }
  if (connection.closedFirst) {
    connection.phase = "time-wait";
    connection.since = context.now;
    connection.retryAt = 0;
    context.arm(connection);
    context.enterTimeWait(connection);
  } else {
    // The guest's side waits; nothing of this one is outstanding.
    context.remove(connection);
  }
  context.release(connection);
}
