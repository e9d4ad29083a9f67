/** Answers, as node:http sends them and, for a socket that was to become a WebSocket, as they are. */
import { STATUS_CODES, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { CONTROL_HEADER, CONTROL_VERSION } from "../../protocol/control-call.ts";
import type { ErrorBody } from "../../protocol/control-errors.ts";
import type { ApiError } from "../api-error.ts";
import type { Answer } from "../api/route.ts";

export const TRACE_HEADER = "x-deno-trace-id";

export function sendAnswer(response: ServerResponse, { status, body, headers = {} }: Answer, traceId: string): void {
  const text = body === undefined ? undefined : JSON.stringify(body);
  response.writeHead(status, {
    [TRACE_HEADER]: traceId,
    "cache-control": "no-store",
    ...headers,
    ...(text === undefined
      ? {}
      : { "content-type": "application/json; charset=utf-8", "content-length": Buffer.byteLength(text) }),
  });
  response.end(text);
}

/** @param withDetail for a client of sbx's own; others know nothing of it */
export function errorAnswer(error: ApiError, withDetail = false): Answer {
  const retry = error.retryAfterSeconds;
  return {
    status: error.status,
    body: errorBodyOf(error, withDetail),
    headers: {
      ...(error.status === 401 ? { "www-authenticate": "Bearer" } : {}),
      ...(error.allow === undefined ? {} : { allow: error.allow.join(", ") }),
      ...(retry === undefined ? {} : { "retry-after": String(retry) }),
    },
  };
}

export function errorBodyOf({ code, message, detail }: ApiError, withDetail: boolean): ErrorBody {
  return { code, message, ...(withDetail && detail !== undefined ? { sbx: detail } : {}) };
}

/** What a client has to read its refusal and hang up, `ms`. */
const LAST_WORDS_MS = 2000;

/** Answers on a bare socket, and closes it. @param options.isOwn whether the client is one of sbx's own */
export function refuseSocket(socket: Duplex, error: ApiError, traceId: string, { isOwn = false } = {}): void {
  const { status, body, headers = {} } = errorAnswer(error, isOwn);
  const text = JSON.stringify(body);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}`,
    `${TRACE_HEADER}: ${traceId}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(isOwn ? [`${CONTROL_HEADER}: ${CONTROL_VERSION}`] : []),
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(text)}`,
    "connection: close",
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${text}`);
  // What it still sends is read and dropped: closing over it would take the refusal back.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LAST_WORDS_MS).unref();
  socket.once("close", () => clearTimeout(timer));
}
