/**
 * The window that the guest is given. It follows what the flow's reader has consumed: what is queued makes it smaller,
 * and its end never moves back. A flow starts with a small one, so that thousands of idle or stuck flows promise little.
 */
import type { Connection } from "./connection.ts";
import type { TcpContext } from "./context.ts";
import { ahead } from "./segment.ts";

/** What a SYN-ACK can say without a scale, and no less than a segment: Linux waits long for the rest of one. */
export const INITIAL_WINDOW_BYTES = 65_535;
/** A flow that carried this much is worth a larger window. */
const GROW_AFTER_BYTES = 128 * 1024;
/** Fits 8 MiB in the header's 16 bits. */
export const RECEIVE_SCALE = 7;

/** How far the end of the window could move on. */
export function windowGrowth(context: TcpContext, connection: Connection): number {
  const open = Math.max(0, capacity(context, connection) - connection.receiveQueue.bytes);
  return ahead((connection.receiveNext + open) | 0, connection.receiveEdge);
}

/** Whether it pays to tell the guest (RFC 9293, 3.8.6.2.2). */
export function isWorthTelling(context: TcpContext, connection: Connection): boolean {
  return windowGrowth(context, connection) >= capacity(context, connection) / 2;
}

/** The header's field for a segment that is sent now, and from now on the guest's right. */
export function offerWindow(context: TcpContext, connection: Connection): number {
  // Small steps are not told: the guest would send small segments (silly window syndrome).
  if (isWorthTelling(context, connection)) {
    connection.receiveEdge = (connection.receiveEdge + windowGrowth(context, connection)) | 0;
  }
  const promised = Math.max(0, ahead(connection.receiveEdge, connection.receiveNext));
  if (!connection.scales) return Math.min(promised, INITIAL_WINDOW_BYTES);
  // Rounded up: rounding down would take back a part of what was promised.
  const field = Math.min(0xffff, (promised + (1 << RECEIVE_SCALE) - 1) >> RECEIVE_SCALE);
  const edge = (connection.receiveNext + (field << RECEIVE_SCALE)) | 0;
  if (ahead(edge, connection.receiveEdge) > 0) connection.receiveEdge = edge;
  return field;
}

/** What may be queued before the window is closed. */
function capacity(context: TcpContext, connection: Connection): number {
  const grows = connection.scales && connection.receivedBytes >= GROW_AFTER_BYTES;
  return grows && !context.receiveBudget.isTight ? context.limits.flowReceiveBytes : INITIAL_WINDOW_BYTES;
}
