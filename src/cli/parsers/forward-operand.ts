/**
 * What `sbx forward` takes: `8080:3000`, `3000` for the same port on both sides, `0:3000` for any free one here, and
 * `8080:/run/app.sock` for a Unix socket in the sandbox. Input comes from the user.
 */
import type { TunnelTarget } from "../../runtime/runtime.ts";
import { parsePort } from "./port.ts";
import { quoteValue, usageError } from "./usage-error.ts";

export interface ForwardOperand {
  /** On this machine; 0 for any. */
  hostPort: number;
  target: TunnelTarget;
}

/** The longest path of a Unix socket (unix(7)), `bytes`. */
const MAX_SOCKET_PATH_BYTES = 107;

/** @throws SbxError `usage` */
export function parseForwardOperand(text: string): ForwardOperand {
  const at = text.indexOf(":");
  if (at < 0) return { hostPort: parsePort(text), target: { port: parsePort(text) } };
  const [before, behind] = [text.slice(0, at), text.slice(at + 1)];
  const hostPort = before === "0" ? 0 : parsePort(before);
  if (!behind.startsWith("/")) return { hostPort, target: { port: parsePort(behind) } };
  if (behind.includes("\0") || Buffer.byteLength(behind) > MAX_SOCKET_PATH_BYTES) {
    throw usageError(`${quoteValue(behind)} cannot be the path of a socket`);
  }
  return { hostPort, target: { path: behind } };
}

/** `3000`, or the path of the socket. */
export function describeTarget(target: TunnelTarget): string {
  return "port" in target ? String(target.port) : target.path;
}
