/** What happens to a flow when its time has come. Everything is counted in the guest's favour while it is paused. */
import { startRecovery } from "./acknowledge.ts";
import type { Connection } from "./connection.ts";
import { FlowError, type TcpContext } from "./context.ts";
import { sendAnyway, sendProbe } from "./output.ts";

/** When the flow's timer is due. */
export function deadline(context: TcpContext, connection: Connection): number {
  const { limits } = context;
  switch (connection.phase) {
    case "pending":
      return connection.since + limits.pendingMs;
    case "time-wait":
      return connection.since + limits.timeWaitMs;
    case "syn-received":
    case "syn-sent":
    case "open": {
      const probeAt = Math.max(connection.lastHeard + limits.keepAliveMs, connection.triedAt + limits.keepAliveProbeMs);
      return connection.retryAt === 0 ? probeAt : connection.retryAt;
    }
    case "resetting":
    case "closed":
      return Infinity;
  }
}

export function onDue(context: TcpContext, connection: Connection): void {
  if (context.now >= deadline(context, connection)) {
    switch (connection.phase) {
      case "pending":
        giveUpPending(context, connection);
        return;
      case "time-wait":
        context.remove(connection);
        return;
      case "syn-received":
      case "syn-sent":
      case "open":
        retry(context, connection);
        break;
      case "resetting":
      case "closed":
        return;
    }
  }
  context.arm(connection);
}

function giveUpPending(context: TcpContext, connection: Connection): void {
  const { onGone } = connection;
  connection.onGone = undefined;
  context.abort(connection);
  context.release(connection);
  onGone?.();
}

function retry(context: TcpContext, connection: Connection): void {
  const { limits } = context;
  const isRetry = connection.retryAt !== 0;
  // The first probe of a silent flow repeats nothing.
  const wasTried = isRetry || connection.triedAt >= connection.lastHeard;
  if (wasTried && context.lastFrameAt > connection.triedAt) connection.failures++;
  if (connection.failures > limits.maxRetries) {
    context.abort(connection, new FlowError("ETIMEDOUT", "the guest does not answer"));
    return;
  }
  connection.triedAt = context.now;
  connection.retries++;
  if (isRetry) {
    const delay = limits.retransmitMs * 2 ** Math.min(connection.retries, 16);
    connection.retryAt = context.now + Math.min(delay, limits.maxRetransmitMs);
  }
  // What the link has not taken yet has not reached the guest: repeating it would only queue it twice.
  if (context.link.queuedBytes === 0) send(context, connection);
}

function send(context: TcpContext, connection: Connection): void {
  if (connection.phase === "syn-received" || connection.phase === "syn-sent") {
    connection.synDue = true;
    context.schedule(connection);
  } else if (connection.sendNext !== connection.sendUnacked) {
    startRecovery(context, connection);
  } else if (!sendAnyway(context, connection)) {
    sendProbe(context, connection);
  }
}
