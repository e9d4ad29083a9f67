/**
 * Envelopes and stream notifications of the sandbox RPC: JSON-RPC 2.0 over WebSocket (deno-sandbox-protocol, sections
 * 2.1, 2.2 and 2.6). Both ends parse what the other sent with these functions; all of it is untrusted.
 */
import { MAX_STREAM_ID } from "./rpc-limits.ts";
import { findSerializedError, type SerializedError } from "./rpc-error.ts";

/** The SDK counts numbers from 0; others may use strings. */
export type RpcId = number | string;

export interface RpcRequest {
  kind: "request";
  id: RpcId;
  method: string;
  params: unknown;
}

export interface RpcNotificationMessage {
  kind: "notification";
  method: string;
  params: unknown;
}

export type RpcReply =
  | { kind: "reply"; id: RpcId; outcome: { ok: unknown } | { error: SerializedError } }
  /** The top-level JSON-RPC error: unknown method, invalid params and the like. */
  | { kind: "failure"; id: RpcId; code: number; message: string; data: unknown };

/** Codes of top-level errors. Application failures never use them. */
export const RPC_CODES = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
} as const;

/** WebSocket close codes: the first two are what the SDK itself sends. */
export const CLOSE_CODES = {
  notJson: 4000,
  invalidMessage: 4001,
  normal: 1000,
  goingAway: 1001,
  tooBig: 1009,
} as const;

/** Text frames that are no JSON: the heartbeat and its answer. */
export const HEARTBEAT = { ping: "ping", pong: "pong" } as const;

/** Request and answer headers of the extensions (docs/protocol-supervisor.md). */
export const EXTENSIONS_HEADER = "x-sbx-extensions";
export const EXTENSIONS_VERSION = "1";
export const PRIMARY_HEADER = "x-sbx-primary";
export const SANDBOX_ID_HEADER = "x-deno-sandbox-id";

/** What is wrong with a message, with the code to close the connection with. */
export class MessageError extends Error {
  readonly closeCode: number;
  constructor(message: string, closeCode: number = CLOSE_CODES.invalidMessage) {
    super(message);
    this.name = "MessageError";
    this.closeCode = closeCode;
  }
}

/**
 * Parses what a client sent. `ping` is not JSON: look for it first.
 *
 * @throws MessageError if the connection has to be closed; nothing is ever answered with `id: null`
 */
export function parseClientMessage(text: string): RpcRequest | RpcNotificationMessage {
  const message = parseEnvelope(text);
  const { id, method, params } = message;
  if (typeof method !== "string") throw new MessageError("method is not a string");
  if (id === undefined) return { kind: "notification", method, params };
  return { kind: "request", id: readId(id), method, params };
}

/**
 * Parses what a server sent. `pong` is not JSON: look for it first.
 *
 * @throws MessageError if the connection has to be closed
 */
export function parseServerMessage(text: string): RpcReply | RpcNotificationMessage {
  const message = parseEnvelope(text);
  const { id, method, params, result, error } = message;
  if (typeof method === "string") {
    if (id !== undefined) throw new MessageError("a server sends no requests");
    return { kind: "notification", method, params };
  }
  const replyId = readId(id);
  if (isRecord(error) && typeof error["code"] === "number") {
    const text = typeof error["message"] === "string" ? error["message"] : "";
    return { kind: "failure", id: replyId, code: error["code"], message: text, data: error["data"] };
  }
  if (!isRecord(result)) throw new MessageError("neither result nor error in a reply");
  const failed = result["error"] == null ? undefined : findSerializedError(result["error"]);
  if (failed !== undefined) return { kind: "reply", id: replyId, outcome: { error: failed } };
  return { kind: "reply", id: replyId, outcome: { ok: result["ok"] } };
}

export function encodeRequest(id: RpcId, method: string, params: unknown): string {
  return JSON.stringify({ jsonrpc: "2.0", id, method, params });
}

/** A reply always has `ok`: a missing one is refused by the SDK. */
export function encodeResult(id: RpcId, ok: unknown): string {
  return JSON.stringify({ jsonrpc: "2.0", id, result: { ok: ok ?? null } });
}

/** The same for a long text that needs no escaping, in pieces. */
export function encodeTextResult(id: RpcId, text: readonly Buffer[]): Buffer[] {
  const before = `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"ok":"`;
  return [Buffer.from(before), ...text, Buffer.from('"}}')];
}

export function encodeErrorResult(id: RpcId, error: SerializedError): string {
  return JSON.stringify({ jsonrpc: "2.0", id, result: { error } });
}

export function encodeFailure(id: RpcId, code: number, message: string, data?: unknown): string {
  return JSON.stringify({ jsonrpc: "2.0", id, error: { code, message, ...(data === undefined ? {} : { data }) } });
}

/** What travels without an answer: streams in both directions, and the watcher from server to client. */
export type StreamNotification =
  | { method: "$sandbox.stream.start"; streamId: number }
  | { method: "$sandbox.stream.enqueue"; streamId: number; data: string }
  | { method: "$sandbox.stream.end"; streamId: number }
  | { method: "$sandbox.stream.error"; streamId: number; error: SerializedError | null }
  | { method: "$sandbox.stream.cancel"; streamId: number; reason: SerializedError | null }
  /** sbx: the consumer takes `bytes` more. */
  | { method: "$sbx.stream.credit"; streamId: number; bytes: number };

export type WatcherNotification = { method: "$sandbox.deno.watcher.restart"; watcherId: string };

export type Notification = StreamNotification | WatcherNotification;

/**
 * Checks a notification. Unknown methods give undefined: notifications are ignored by who does not know them.
 *
 * @throws MessageError if a known one has wrong params
 */
export function parseNotification(message: RpcNotificationMessage): Notification | undefined {
  const { method } = message;
  const params = isRecord(message.params) ? message.params : {};
  switch (method) {
    case "$sandbox.stream.start":
    case "$sandbox.stream.end":
      return { method, streamId: readStreamId(params) };
    case "$sandbox.stream.enqueue": {
      if (typeof params["data"] !== "string") throw new MessageError("data of a stream chunk is not a string");
      return { method, streamId: readStreamId(params), data: params["data"] };
    }
    case "$sandbox.stream.error":
      return { method, streamId: readStreamId(params), error: findSerializedError(params["error"]) ?? null };
    case "$sandbox.stream.cancel":
      return { method, streamId: readStreamId(params), reason: findSerializedError(params["reason"]) ?? null };
    case "$sbx.stream.credit": {
      const { bytes } = params;
      if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes <= 0) {
        throw new MessageError("bytes of a stream credit is not a positive integer");
      }
      return { method, streamId: readStreamId(params), bytes };
    }
    case "$sandbox.deno.watcher.restart": {
      if (typeof params["watcherId"] !== "string") throw new MessageError("watcherId is not a string");
      return { method, watcherId: params["watcherId"] };
    }
    default:
      return undefined;
  }
}

export function encodeNotification(notification: Notification): string {
  const { method, ...params } = notification;
  return JSON.stringify({ jsonrpc: "2.0", method, params });
}

function parseEnvelope(text: string): Record<string, unknown> {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch (cause) {
    throw new MessageError(`not JSON: ${String(cause)}`, CLOSE_CODES.notJson);
  }
  if (!isRecord(message) || message["jsonrpc"] !== "2.0") throw new MessageError("not a JSON-RPC 2.0 message");
  return message;
}

function readId(id: unknown): RpcId {
  if (typeof id === "number" && Number.isSafeInteger(id)) return id;
  if (typeof id === "string" && id.length <= 256) return id;
  throw new MessageError("id is neither an integer nor a short string");
}

function readStreamId(params: Record<string, unknown>): number {
  const { streamId } = params;
  if (typeof streamId === "number" && Number.isInteger(streamId) && streamId >= 0 && streamId <= MAX_STREAM_ID) {
    return streamId;
  }
  throw new MessageError("streamId is not an integer from 0 to 2^48-1");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
