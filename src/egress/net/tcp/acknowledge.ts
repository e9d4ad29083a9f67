/** What the guest's acknowledgements and windows mean for what was sent to it. */
import type { Connection } from "./connection.ts";
import type { TcpContext } from "./context.ts";
import { ahead, FLAG, type Segment } from "./segment.ts";

/** So many duplicates say that a segment was lost, and not that the guest is slow (RFC 5681). */
const DUPLICATES = 3;

/** False if the segment acknowledges what it cannot: then nothing in it counts. */
export function readAck(context: TcpContext, connection: Connection, segment: Segment): boolean {
  const acked = ahead(segment.ack, connection.sendUnacked);
  const inFlight = ahead(connection.sendNext, connection.sendUnacked);
  // Beyond what was sent, or older than any window (RFC 5961, 5.2).
  if (acked > inFlight || acked < -connection.maxSendWindow) return false;
  if (acked > 0) advance(context, connection, segment.ack, acked);
  else if (acked === 0) countDuplicate(context, connection, segment, inFlight);
  if (inFlight === 0) connection.failures = 0;
  readWindow(context, connection, segment);
  return true;
}

/** The handshake is over, whichever side began it: nothing is under way, and the guest's window is known. */
export function openFlow(context: TcpContext, connection: Connection, segment: Segment): void {
  connection.phase = "open";
  connection.since = context.now;
  connection.sendUnacked = connection.sendNext;
  connection.retryAt = 0;
  connection.retries = 0;
  connection.failures = 0;
  connection.windowSequence = segment.sequence;
  connection.windowAck = segment.ack;
  readWindow(context, connection, segment);
  context.schedule(connection);
  context.arm(connection);
}

/** Takes the window of a segment that is not older than the one the last window came with (RFC 9293, 3.10.7.4). */
function readWindow(context: TcpContext, connection: Connection, segment: Segment): void {
  const newer = ahead(segment.sequence, connection.windowSequence);
  if (newer < 0 || (newer === 0 && ahead(segment.ack, connection.windowAck) < 0)) return;
  const window = segment.has(FLAG.syn) ? segment.window : segment.window << connection.sendScale;
  connection.windowSequence = segment.sequence;
  connection.windowAck = segment.ack;
  if (window === connection.sendWindow) return;
  const isProbing = connection.retryAt !== 0 && connection.sendNext === connection.sendUnacked;
  connection.sendWindow = window;
  if (window > connection.maxSendWindow) connection.maxSendWindow = window;
  if (isProbing && window > 0) restartTimer(context, connection);
  context.schedule(connection);
}

function advance(context: TcpContext, connection: Connection, ack: number, acked: number): void {
  const finAcked = connection.finSent && !connection.finAcked && ack === connection.sendNext;
  connection.sendQueue.drop(acked - (finAcked ? 1 : 0));
  connection.sendUnacked = ack;
  connection.finAcked ||= finAcked;
  connection.failures = 0;
  restartTimer(context, connection);
  if (connection.recoverUntil !== undefined) {
    if (ahead(ack, connection.recoverUntil) >= 0) connection.recoverUntil = undefined;
    // More was lost than the first segment: the next one is missing too.
    else connection.retransmitDue = true;
  }
  context.schedule(connection);
}

/** Nothing, or less, is outstanding: the timer begins anew. */
function restartTimer(context: TcpContext, connection: Connection): void {
  connection.duplicateAcks = 0;
  connection.retries = 0;
  if (connection.sendNext === connection.sendUnacked) {
    connection.retryAt = 0;
    return;
  }
  connection.triedAt = context.now;
  connection.retryAt = context.now + context.limits.retransmitMs;
}

function countDuplicate(context: TcpContext, connection: Connection, segment: Segment, inFlight: number): void {
  const isDuplicate =
    inFlight > 0 && segment.span === 0 && segment.window << connection.sendScale === connection.sendWindow;
  if (!isDuplicate || connection.recoverUntil !== undefined) return;
  connection.duplicateAcks++;
  if (connection.duplicateAcks === DUPLICATES) startRecovery(context, connection);
}

/** Repeats the first segment, and the next one after each acknowledgement that does not cover all. */
export function startRecovery(context: TcpContext, connection: Connection): void {
  connection.recoverUntil = connection.sendNext;
  connection.retransmitDue = true;
  context.schedule(connection);
}
