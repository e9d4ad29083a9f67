/**
 * SSH to a sandbox for sbx's own client: the sandbox's own SSH server is on the other end, which takes the key that the
 * client names. The server relays what is encrypted between the two.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { CONTROL_HEADER, CONTROL_VERSION } from "../../protocol/control-call.ts";
import { SANDBOX_ID_HEADER } from "../../protocol/rpc-messages.ts";
import { SSH_HOST_KEY_HEADER, SSH_KEY_HEADER, SSH_PUBLIC_KEY, SSH_UPGRADE } from "../../protocol/ssh-upgrade.ts";
import { ApiError } from "../api-error.ts";
import type { Tenant } from "../organisations/tenant.ts";
import { ByteRelay } from "../relay/byte-relay.ts";
import { TRACE_HEADER } from "./answers.ts";
import type { EarlyBytes } from "./early-bytes.ts";

/** @throws ApiError `UPGRADE_REQUIRED`, `INVALID_REQUEST`, and as the runtime refuses it */
export async function openSshRelay(
  tenant: Tenant,
  { request, socket, traceId }: { request: IncomingMessage; socket: Duplex; traceId: string },
  { ref, early, signal }: { ref: string; early: EarlyBytes; signal: AbortSignal },
): Promise<{ id: string; relay: ByteRelay }> {
  const publicKey = requireKey(request);
  const { sandboxId, stream, hostKey } = await tenant.runtime.ssh.openWithKey(ref, { publicKey, signal });
  const lines = [
    "HTTP/1.1 101 Switching Protocols",
    "connection: Upgrade",
    `upgrade: ${SSH_UPGRADE}`,
    `${SSH_HOST_KEY_HEADER}: ${hostKey}`,
    `${SANDBOX_ID_HEADER}: ${sandboxId}`,
    `${CONTROL_HEADER}: ${CONTROL_VERSION}`,
    `${TRACE_HEADER}: ${traceId}`,
  ];
  const received = early.release();
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  return { id: sandboxId, relay: new ByteRelay(socket, received, stream) };
}

function requireKey({ method, headers }: IncomingMessage): string {
  if (method !== "GET" || headers.upgrade?.toLowerCase() !== SSH_UPGRADE) {
    throw new ApiError("UPGRADE_REQUIRED", "this is the place of an SSH connection");
  }
  const key = headers[SSH_KEY_HEADER];
  if (typeof key === "string" && SSH_PUBLIC_KEY.test(key)) return key;
  throw new ApiError("INVALID_REQUEST", `${SSH_KEY_HEADER} must be an Ed25519 key`);
}
