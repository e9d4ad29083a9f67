/** The fields of a client's WebSocket handshake that its sandbox is sent. */
import type { IncomingMessage } from "node:http";
import { HANDSHAKE_FIELD, type RpcHandshake } from "../../runtime/rpc-door.ts";
import { ApiError } from "../api-error.ts";

/** That of a client whose messages differ is short; a longer one tells a sandbox nothing. */
const MAX_AGENT_CHARACTERS = 256;

/** @throws ApiError `UPGRADE_REQUIRED`, `INVALID_REQUEST` for what no sandbox would accept: before one is made for it */
export function handshakeFields({ headers, headersDistinct, method }: IncomingMessage): RpcHandshake {
  if (method !== "GET" || headers.upgrade?.toLowerCase() !== "websocket") {
    throw new ApiError("UPGRADE_REQUIRED", "this is the place of a WebSocket");
  }
  const key = headers["sec-websocket-key"];
  if (headers["sec-websocket-version"] !== "13" || key === undefined || !/^[A-Za-z0-9+/]{22}==$/.test(key)) {
    throw new ApiError("INVALID_REQUEST", "the request is not the handshake of a WebSocket of version 13");
  }
  const fields = Object.entries(headersDistinct)
    .filter(([name]) => HANDSHAKE_FIELD.test(name))
    .map(([name, values]) => [name, values?.join(", ") ?? ""] as const);
  return fields.filter(([name, value]) => name !== "user-agent" || value.length <= MAX_AGENT_CHARACTERS);
}
