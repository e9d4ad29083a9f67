/**
 * The opening handshake of the sandbox RPC: what it asks for, and how a refusal becomes an error. The answer comes
 * from a supervisor or a control plane; its body is untrusted text.
 */
import { type ErrorCode, ERROR_EXITS, SbxError } from "../errors.ts";

/** Longest head or body of an answer that is read. */
export const MAX_HANDSHAKE_BYTES = 64 * 1024;

/** An answer that was not 101. */
export interface Refusal {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
}

/** Codes of the published protocol, and HTTP statuses, as sbx names them. */
const CODES: Record<string, ErrorCode> = {
  SANDBOX_NOT_FOUND: "sandbox_not_found",
  INVALID_TOKEN: "not_authenticated",
  NOT_AUTHENTICATED: "not_authenticated",
  TOKEN_EXPIRED: "not_authenticated",
  INVALID_CONFIG: "config_invalid",
  TOKEN_REVOKED: "not_authenticated",
  MISSING_ORG: "not_authenticated",
  ORG_FORBIDDEN: "not_authenticated",
  INSUFFICIENT_SCOPE: "not_authenticated",
  INVALID_REQUEST: "usage",
  SLUG_ALREADY_IN_USE: "name_in_use",
  APP_NOT_FOUND: "app_not_found",
  LAYER_NOT_FOUND: "layer_not_found",
  LAYER_IN_USE: "layer_in_use",
  REVISION_NOT_FOUND: "revision_not_found",
  REVISION_IN_USE: "revision_in_use",
  VOLUME_NOT_FOUND: "volume_not_found",
  VOLUME_IN_USE: "volume_in_use",
  SNAPSHOT_NOT_FOUND: "snapshot_not_found",
  SNAPSHOT_IN_USE: "snapshot_in_use",
  SANDBOX_NOT_RUNNING: "sandbox_stopped",
  TOO_MANY_SANDBOXES: "quota_exceeded",
  QUOTA_EXCEEDED: "quota_exceeded",
  RATE_LIMITED: "quota_exceeded",
  INSUFFICIENT_RESOURCES: "insufficient_resources",
  START_FAILED: "vm_start_failed",
  SHUTTING_DOWN: "server_unreachable",
  UNSUPPORTED: "unsupported",
  "401": "not_authenticated",
  "403": "not_authenticated",
  "404": "sandbox_not_found",
  "409": "sandbox_stopped",
  "410": "sandbox_stopped",
};

/** What to do about it, where the answer does not say. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  not_authenticated: "log in again: sbx login CONTEXT (sbx context show says which)",
  sandbox_not_found: "sbx list",
  server_failed: "tell whoever runs the server, with the trace id",
  server_unreachable: "try again in a moment",
  quota_exceeded: "sbx list shows what takes its part; sbx kill ends it",
};

/**
 * Makes the error of a refused handshake: `{code, message, hint?}` if the body is that, else the status and the text. A
 * control plane tells its own code in capitals, and that of sbx in `sbx: {code, hint?}` beside it.
 *
 * @param otherwise for a refusal that says nothing that is known
 * @param what happened, where the refusal has no words for it
 */
export function refusalError(
  refusal: Refusal,
  otherwise: ErrorCode = "connection_closed",
  what = "the sandbox refused the connection",
): SbxError {
  const body = readBody(refusal.body);
  const code = findCode(body.sbx?.code) ?? findCode(body.code) ?? findCode(String(refusal.status)) ?? otherwise;
  const hint = body.sbx?.hint ?? body.hint ?? HINTS[code];
  const traceId = refusal.headers["x-deno-trace-id"];
  const status = refusal.status === 0 ? undefined : `status ${refusal.status}`;
  // A server of sbx's own that knows what is wrong says it as this machine would; the rest is for whoever looks further.
  const isTold = findCode(body.sbx?.code) !== undefined;
  const facts = isTold ? [] : [status, body.code, traceId === undefined ? undefined : `trace ${traceId}`];
  const known = facts.filter((fact) => fact !== undefined);
  const message = body.message ?? `${what}${refusal.body === "" ? "" : `: ${body.text}`}`;
  return new SbxError(code, `${message}${known.length === 0 ? "" : ` (${known.join(", ")})`}`, {
    ...(hint === undefined ? {} : { hint }),
  });
}

/** @param path of the socket; a socket that is not there or not listened on belongs to a supervisor that is gone */
export function connectError(path: string, cause: unknown): SbxError {
  const { code } = cause as { code?: unknown };
  const isGone = code === "ENOENT" || code === "ECONNREFUSED" || code === "ECONNRESET";
  return new SbxError(isGone ? "supervisor_lost" : "connection_closed", `no connection to the sandbox at ${path}`, {
    cause,
    ...(isGone ? { hint: "see what became of it: sbx list" } : {}),
  });
}

function findCode(code: string | undefined): ErrorCode | undefined {
  if (code === undefined) return undefined;
  if (Object.hasOwn(ERROR_EXITS, code)) return code as ErrorCode;
  return Object.hasOwn(CODES, code) ? CODES[code] : undefined;
}

interface RefusalBody {
  code?: string;
  message?: string;
  hint?: string;
  sbx?: { code?: string; hint?: string };
  text: string;
}

function readBody(text: string): RefusalBody {
  const short = text.slice(0, 2048).trim();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // Not every refusal is JSON: a proxy in between answers in HTML. The text itself is then the message.
    return { text: short };
  }
  if (typeof body !== "object" || body === null) return { text: short };
  const { code, message, hint, sbx } = body as Record<string, unknown>;
  return {
    text: short,
    ...(typeof sbx === "object" && sbx !== null ? { sbx: readDetail(sbx) } : {}),
    ...(typeof code === "string" ? { code: code.slice(0, 128) } : {}),
    ...(typeof message === "string" ? { message: message.slice(0, 4096) } : {}),
    ...(typeof hint === "string" ? { hint: hint.slice(0, 1024) } : {}),
  };
}

function readDetail(sbx: object): { code?: string; hint?: string } {
  const { code, hint } = sbx as Record<string, unknown>;
  return {
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof hint === "string" ? { hint: hint.slice(0, 1024) } : {}),
  };
}
