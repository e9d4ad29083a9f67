/** A flow that is opened from this side, to a server of the guest: its SYN, and what the guest answers (RFC 9293, 3.10.7.3). */
import { openFlow } from "./acknowledge.ts";
import type { Connection } from "./connection.ts";
import { FlowError, type TcpContext } from "./context.ts";
import { answerWithReset, linkMss } from "./output.ts";
import { FLAG, readSynOptions, type Segment } from "./segment.ts";
import { INITIAL_WINDOW_BYTES } from "./window.ts";

/** A segment for a flow whose SYN was sent. True when that has opened it. A SYN of the guest's own, at the same time, is no answer. */
export function receiveSynAnswer(context: TcpContext, connection: Connection, segment: Segment): boolean {
  const isAnswer = segment.has(FLAG.ack) && segment.ack === connection.sendNext;
  if (segment.has(FLAG.rst)) {
    if (!isAnswer) return false;
    const { stream } = connection;
    context.remove(connection);
    stream?.fail(new FlowError("ECONNREFUSED", `nothing listens on port ${connection.farPort} of the guest`));
    return false;
  }
  if (segment.has(FLAG.ack) && !isAnswer) {
    answerWithReset(context, connection.near, connection.far, segment);
    return false;
  }
  if (!isAnswer || !segment.has(FLAG.syn)) return false;
  const { mss, windowScale } = readSynOptions(segment);
  connection.mss = Math.min(mss, linkMss(connection.near));
  connection.scales = windowScale !== undefined;
  connection.sendScale = windowScale ?? 0;
  connection.receiveFrom(segment.sequence, INITIAL_WINDOW_BYTES);
  connection.lastHeard = context.now;
  // What waits to be sent carries the acknowledgement.
  connection.ackDue = "now";
  openFlow(context, connection, segment);
  const { onOpen } = connection;
  connection.onOpen = undefined;
  onOpen?.();
  return true;
}
