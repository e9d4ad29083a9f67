/**
 * What tells one published client from another. The SDK for Python names its WebSocket library in the handshake; it wants
 * lists where the one for JavaScript wants streams, and is cut off by messages that are longer than that library's default.
 */
import { CallError } from "./call-error.ts";

export type Dialect = "published" | "python";

/** The User-Agent of the library that the SDK for Python stands on. */
const PYTHON_AGENT = /^Python\/[\d.]{1,16} websockets\/[\w.]{1,32}$/;
/** Longest message that this library takes unless it is told otherwise. */
export const PYTHON_MESSAGE_BYTES = 1024 * 1024;
/** Room for the envelope of a reply. */
const ENVELOPE_BYTES = 1024;

export function dialectOf(userAgent: string | undefined): Dialect {
  return userAgent !== undefined && PYTHON_AGENT.test(userAgent) ? "python" : "published";
}

/** @throws CallError for a reply that would end its client's connection */
export function requireFit(pieces: readonly (string | Buffer)[], dialect: Dialect): void {
  if (dialect === "published") return;
  const bytes = pieces.reduce((sum, piece) => sum + Buffer.byteLength(piece), 0);
  if (bytes > PYTHON_MESSAGE_BYTES - ENVELOPE_BYTES) throw tooLong();
}

export function tooLong(): CallError {
  const message = "the answer is longer than the 1 MiB that this client takes in one message: ask for parts";
  return new CallError({ constructorName: "RangeError", message, code: "EFBIG" });
}
