/**
 * The error object E of the sandbox RPC (deno-sandbox-protocol, section 2.3), both ways. What arrives is untrusted:
 * it is cut to bounds, never trusted to be short or shallow.
 */
import { type ErrorCode, ERROR_EXITS, SbxError } from "../runtime/errors.ts";
import { errnoConstructorName, errnoText, isErrno } from "./rpc-errno.ts";

/** Only the first two are required on the wire; absent and null mean the same. */
export interface SerializedError {
  constructorName: string;
  message: string;
  code?: string | null;
  stack?: string | null;
  /** Counts for a DOMException alone. */
  name?: string | null;
  cause?: SerializedError | null;
  errors?: SerializedError[] | null;
  error?: SerializedError | null;
  suppressed?: SerializedError | null;
  /** sbx: what its own client wants to know; others drop it. */
  sbx?: SbxErrorDetail | null;
}

export interface SbxErrorDetail {
  /** The path that a call failed on: tells a missing `cwd` from a missing command. */
  path?: string;
  code?: ErrorCode;
  hint?: string;
}

const MAX_DEPTH = 8;
const MAX_ERRORS = 64;
const MAX_MESSAGE_CHARS = 64 * 1024;
const MAX_NAME_CHARS = 256;

/** A failure that the other end reported for a call. */
export class RemoteError extends Error {
  readonly constructorName: string;
  /** An errno name in most cases. */
  readonly code: string | undefined;
  readonly detail: SbxErrorDetail;

  constructor(error: SerializedError) {
    super(error.message, error.cause == null ? undefined : { cause: new RemoteError(error.cause) });
    this.name = error.name ?? error.constructorName;
    this.constructorName = error.constructorName;
    this.code = error.code ?? undefined;
    this.detail = error.sbx ?? {};
  }
}

/**
 * Checks an untrusted value and cuts it to bounds; strings are accepted as the message alone (some clients send them).
 * Returns undefined for what is no error object.
 */
export function findSerializedError(value: unknown): SerializedError | undefined {
  if (typeof value === "string") return { constructorName: "Error", message: value.slice(0, MAX_MESSAGE_CHARS) };
  return readError(value, 0);
}

/** The inverse of {@link encodeError}: an Error to throw. */
export function decodeError(error: SerializedError): RemoteError {
  return new RemoteError(error);
}

/**
 * Turns anything thrown into an error object. Never throws, and never sends a stack: it would tell the client about
 * the host. An object that already is one passes through.
 */
export function encodeError(error: unknown): SerializedError {
  return writeError(error, 0);
}

/**
 * An errno as an error object, worded as Deno words it: `No such file or directory (os error 2): readfile '/x'`.
 *
 * @param code errno name such as `ENOENT`
 * @param context what was tried and on what, such as `readfile '/x'`
 * @param path the path that failed, for clients that agreed on the extensions
 */
export function errnoError(code: string, context?: string, path?: string): SerializedError {
  return {
    constructorName: errnoConstructorName(code),
    message: context === undefined ? errnoText(code) : `${errnoText(code)}: ${context}`,
    code,
    ...(path === undefined ? {} : { sbx: { path } }),
  };
}

/** The answer to an aborted call: a DOMException must not have a code, or the SDK throws while decoding it. */
export function abortError(message = "The signal has been aborted"): SerializedError {
  return { constructorName: "DOMException", name: "AbortError", message, code: null };
}

function readError(value: unknown, depth: number): SerializedError | undefined {
  if (!isRecord(value) || depth > MAX_DEPTH) return undefined;
  const { constructorName, message } = value;
  if (typeof constructorName !== "string" || typeof message !== "string") return undefined;
  const error: SerializedError = {
    constructorName: constructorName.slice(0, MAX_NAME_CHARS),
    message: message.slice(0, MAX_MESSAGE_CHARS),
  };
  if (typeof value["code"] === "string") error.code = value["code"].slice(0, MAX_NAME_CHARS);
  if (typeof value["name"] === "string") error.name = value["name"].slice(0, MAX_NAME_CHARS);
  if (typeof value["stack"] === "string") error.stack = value["stack"].slice(0, MAX_MESSAGE_CHARS);
  for (const key of ["cause", "error", "suppressed"] as const) {
    const nested = readError(value[key], depth + 1);
    if (nested !== undefined) error[key] = nested;
  }
  if (Array.isArray(value["errors"])) {
    error.errors = value["errors"]
      .slice(0, depth === 0 ? MAX_ERRORS : 4)
      .map((item) => readError(item, depth + 1))
      .filter((item) => item !== undefined);
  }
  const detail = readDetail(value["sbx"]);
  if (detail !== undefined) error.sbx = detail;
  return error;
}

function readDetail(value: unknown): SbxErrorDetail | undefined {
  if (!isRecord(value)) return undefined;
  const detail: SbxErrorDetail = {};
  if (typeof value["path"] === "string") detail.path = value["path"].slice(0, MAX_MESSAGE_CHARS);
  if (typeof value["hint"] === "string") detail.hint = value["hint"].slice(0, MAX_MESSAGE_CHARS);
  if (typeof value["code"] === "string" && Object.hasOwn(ERROR_EXITS, value["code"])) {
    detail.code = value["code"] as ErrorCode;
  }
  return detail;
}

function writeError(error: unknown, depth: number): SerializedError {
  if (!(error instanceof Error)) {
    return readError(error, depth) ?? { constructorName: "Error", message: String(error).slice(0, MAX_MESSAGE_CHARS) };
  }
  const message = error.message.slice(0, MAX_MESSAGE_CHARS);
  if (error instanceof DOMException || error.name === "AbortError") {
    return { constructorName: "DOMException", name: error.name, message, code: null };
  }
  const encoded: SerializedError = { constructorName: constructorNameOf(error), message, ...detailOf(error) };
  if (depth < MAX_DEPTH && error.cause !== undefined) encoded.cause = writeError(error.cause, depth + 1);
  if (depth === 0 && error instanceof AggregateError) {
    encoded.errors = error.errors.slice(0, MAX_ERRORS).map((item) => writeError(item, MAX_DEPTH));
  }
  return encoded;
}

/** Code and path; an errno that came with the error, from the guest or from Node, keeps its name. */
function detailOf(error: Error): Pick<SerializedError, "code" | "sbx"> {
  if (error instanceof SbxError) {
    return { sbx: { code: error.code, ...(error.hint === undefined ? {} : { hint: error.hint }) } };
  }
  const { code, path } = error as { code?: unknown; path?: unknown };
  return {
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof path === "string" ? { sbx: { path } } : {}),
  };
}

/** Names that clients make a class of; any other is a plain Error to them. */
const NATIVE_NAMES = new Set([
  "TypeError",
  "ReferenceError",
  "SyntaxError",
  "RangeError",
  "URIError",
  "EvalError",
  "AggregateError",
]);

function constructorNameOf(error: Error): string {
  const { code } = error as { code?: unknown };
  if (typeof code === "string" && isErrno(code)) return errnoConstructorName(code);
  return NATIVE_NAMES.has(error.name) ? error.name : "Error";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
