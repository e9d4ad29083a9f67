/** Ends a connection that was accepted and must not go on, in a way that the program in the guest understands. */
import type { Duplex } from "node:stream";

/** RFC 8446, section 6. */
export type TlsAlert = "access_denied" | "decode_error" | "unrecognized_name";

const ALERTS: Readonly<Record<TlsAlert, number>> = { access_denied: 49, decode_error: 50, unrecognized_name: 112 };
const ALERT_RECORD = [21, 3, 3, 0, 2];
const FATAL = 2;

/** Time for the guest to read the alert and to close. */
const GRACE_MS = 1000;

/** @param alert for a guest that speaks TLS and waits for a handshake; without one it sees a reset at once */
export function refuseStream(stream: Duplex, alert: TlsAlert | null): void {
  stream.on("error", () => undefined); // a guest that resets first is refused as well
  if (alert === null || stream.destroyed) {
    stream.destroy();
    return;
  }
  const timer = setTimeout(() => stream.destroy(), GRACE_MS);
  stream.once("close", () => clearTimeout(timer));
  stream.resume();
  stream.end(Buffer.of(...ALERT_RECORD, FATAL, ALERTS[alert]));
}
