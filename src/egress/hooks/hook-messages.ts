/**
 * What the supervisor and the hook process say to each other, in frames of the agent link's codec
 * (src/protocol/agent-frames.ts) on a socket pair. Only the hook process answers calls:
 *
 *   supervisor                                hook process
 *   CALL id {kind: "init" | "request" | …}    REPLY id {ok: …} or {error: …}
 *   CREDIT id, STOP id                        DATA id…, END id or FAIL id: the body that a hook returned
 *   DATA id…, END id or FAIL id               CREDIT id, STOP id: the body that came with the call
 *   CANCEL id: forget the call                EVENT 0 {fatal: …}: an exception that nobody caught
 *
 * A body that came with a call moves only when the hook process gives credit, which it does when a hook reads. Of a
 * returned body the first {@link RETURN_WINDOW_BYTES} come without credit.
 *
 * The hook process runs the user's own code, which may have any bug: replies are checked as if they were hostile.
 */
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";
import type { RequestTarget } from "../../policy/spec.ts";

/** Bytes of a body that may be under way without having been read, in either direction. */
export const WINDOW_BYTES = 128 * 1024;
export const RETURN_WINDOW_BYTES = WINDOW_BYTES;
/** Largest DATA frame. */
export const CHUNK_BYTES = 64 * 1024;

const MAX_TEXT_CHARS = 1000;
const MAX_FIELDS = 1000;
const MAX_FIELD_BYTES = 256 * 1024;
const MAX_URL_CHARS = 64 * 1024;

export interface InitCall {
  kind: "init";
  modulePath: string | null;
  expressions: readonly string[];
  expressionTimeLimitMs: number;
  sandbox: { id: string; name: string };
}

export type HostCallMessage =
  | InitCall
  | { kind: "ping" }
  | { kind: "evaluate"; target: RequestTarget }
  | { kind: "request"; head: RequestHead; body: boolean; flow: number }
  | { kind: "response"; request: RequestHead; head: ResponseHead; body: boolean; flow: number };

/** Which hooks the module has. */
export interface InitResult {
  onRequest: boolean;
  onResponse: boolean;
}

/** `same`: the one that came with the call; `stream`: DATA follows. */
export type BodyKind = "same" | "none" | "stream";

export interface ReturnedBody {
  body: BodyKind;
  /** Bytes of a `stream`, where they are known. */
  length: number | null;
}

export type HookResult =
  | ({ kind: "request"; method: string; url: string | null; fields: FieldLines | null } & ReturnedBody)
  | ({ kind: "response"; status: number; fields: FieldLines } & ReturnedBody)
  | { kind: "same" };

export interface EvaluateResult {
  /** Index of the expression that allowed; -1 for none. */
  allowed: number;
  message: string | null;
}

/** Why the hook process cannot do something. */
export interface HostFailure {
  /** Name and message of the error. */
  message: string;
  /** `FILE:LINE`, where that is known. */
  at: string | null;
}

/** Text from the hook process, cut to what fits a message. */
export function boundText(text: string): string {
  return text.length <= MAX_TEXT_CHARS ? text : `${text.slice(0, MAX_TEXT_CHARS)}…`;
}

export function parseInitResult(value: unknown): InitResult {
  const { onRequest, onResponse } = asObject(value);
  if (typeof onRequest !== "boolean" || typeof onResponse !== "boolean") throw new Error("a wrong answer to init");
  return { onRequest, onResponse };
}

export function parseFailure(value: unknown): HostFailure {
  const { message, at } = asObject(value);
  return {
    message: boundText(typeof message === "string" ? message : "it does not say why"),
    at: typeof at === "string" ? boundText(at) : null,
  };
}

export function parseEvaluateResult(value: unknown, expressions: number): EvaluateResult {
  const { allowed, message } = asObject(value);
  if (!isCount(allowed, -1, expressions - 1)) throw new Error("a verdict of an expression that there is not");
  return { allowed, message: typeof message === "string" ? boundText(message) : null };
}

/** @throws Error for anything that could not be sent on as it is */
export function parseHookResult(value: unknown): HookResult {
  const result = asObject(value);
  switch (result.kind) {
    case "same":
      return { kind: "same" };
    case "request":
      return {
        kind: "request",
        method: parseMethod(result.method),
        url: result.url === null ? null : parseUrl(result.url),
        fields: result.fields === null ? null : parseFields(result.fields),
        ...parseBody(result),
      };
    case "response": {
      const { status } = result;
      if (!isCount(status, 200, 999)) throw new Error("a response without a status");
      return { kind: "response", status, fields: parseFields(result.fields), ...parseBody(result) };
    }
    default:
      throw new Error("a result of an unknown kind");
  }
}

function parseBody({ body, length }: Record<string, unknown>): ReturnedBody {
  if (body !== "same" && body !== "none" && body !== "stream") throw new Error("a body of an unknown kind");
  if (length !== null && !isCount(length, 0, Number.MAX_SAFE_INTEGER)) throw new Error("a body of a wrong length");
  return { body, length };
}

function parseMethod(value: unknown): string {
  if (typeof value !== "string" || value.length > 64 || !isToken(value)) throw new Error("a method that is no token");
  return value;
}

function parseUrl(value: unknown): string {
  if (typeof value !== "string" || value.length > MAX_URL_CHARS || !URL.canParse(value)) {
    throw new Error("a URL that is none");
  }
  return value;
}

function parseFields(value: unknown): FieldLines {
  if (!Array.isArray(value) || value.length > MAX_FIELDS) throw new Error(`more than ${MAX_FIELDS} header fields`);
  let bytes = 0;
  return value.map((line: unknown) => {
    const [name, text] = Array.isArray(line) ? (line as unknown[]) : [];
    if (typeof name !== "string" || typeof text !== "string" || !isToken(name) || !isFieldValue(text)) {
      throw new Error("a header field that cannot be sent");
    }
    bytes += name.length + text.length;
    if (bytes > MAX_FIELD_BYTES) throw new Error(`header fields of more than ${MAX_FIELD_BYTES} bytes`);
    return [name, text] as const;
  });
}

/** RFC 9110, section 5.6.2. */
function isToken(text: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(text);
}

/** RFC 9110, section 5.5: latin1 without control characters. */
function isFieldValue(text: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
}

function isCount(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null) throw new Error("an answer that is no object");
  return value as Record<string, unknown>;
}
