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
  TOO_MANY_SANDBOXES: "insufficient_resources",
  "401": "not_authenticated",
  "403": "not_authenticated",
  "404": "sandbox_not_found",
  "409": "sandbox_stopped",
  "410": "sandbox_stopped",
};

/** Makes the error of a refused handshake: `{code, message, hint?}` if the body is that, else the status and the text. */
export function refusalError(refusal: Refusal): SbxError {
  const body = readBody(refusal.body);
  const code = findCode(body.code) ?? findCode(String(refusal.status)) ?? "connection_closed";
  const traceId = refusal.headers["x-deno-trace-id"];
  const facts = [`status ${refusal.status}`, body.code, traceId === undefined ? undefined : `trace ${traceId}`];
  const message = body.message ?? `the sandbox refused the connection${refusal.body === "" ? "" : `: ${body.text}`}`;
  return new SbxError(code, `${message} (${facts.filter((fact) => fact !== undefined).join(", ")})`, {
    ...(body.hint === undefined ? {} : { hint: body.hint }),
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

function readBody(text: string): { code?: string; message?: string; hint?: string; text: string } {
  const short = text.slice(0, 2048).trim();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // Not every refusal is JSON: a proxy in between answers in HTML. The text itself is then the message.
    return { text: short };
  }
  if (typeof body !== "object" || body === null) return { text: short };
  const { code, message, hint } = body as Record<string, unknown>;
  return {
    text: short,
    ...(typeof code === "string" ? { code: code.slice(0, 128) } : {}),
    ...(typeof message === "string" ? { message: message.slice(0, 4096) } : {}),
    ...(typeof hint === "string" ? { hint: hint.slice(0, 1024) } : {}),
  };
}
