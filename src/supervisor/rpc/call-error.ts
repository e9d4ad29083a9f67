/**
 * Failures of calls on their way to the client (deno-sandbox-protocol, section 2.3). Messages may hold what the guest
 * said; clients treat them as text.
 */
import { AgentError } from "../../guest/link.ts";
import { isErrno } from "../../protocol/rpc-errno.ts";
import { abortError, encodeError, errnoError, type SerializedError } from "../../protocol/rpc-error.ts";

/** A failure whose shape on the wire is already decided. */
export class CallError extends Error {
  readonly serialized: SerializedError;

  constructor(serialized: SerializedError) {
    super(serialized.message);
    this.name = "CallError";
    this.serialized = serialized;
  }
}

/** What clients make a TypeError of: params that parse and yet mean nothing. */
export function callTypeError(message: string): CallError {
  return new CallError({ constructorName: "TypeError", message });
}

/** An errno of this side's, such as an unknown handle. `context` is what was tried, as in `readfile '/x'`. */
export function callErrno(code: string, context: string): CallError {
  return new CallError(errnoError(code, context));
}

export function notSupported(what: string): CallError {
  return new CallError({ constructorName: "NotSupported", message: `${what} is not supported by this sandbox` });
}

/** The shape in which the published service reports a process that is gone: the SDK swallows the code. */
export function processGone(pid: number): CallError {
  return new CallError({ constructorName: "TypeError", code: "ENOENT", message: `No such process: ${pid}` });
}

/** `operation 'path'`, the context of file errors. */
export function onPath(operation: string, path: string): string {
  return `${operation} '${path}'`;
}

/**
 * Rewords a failure that the guest reported, as Deno words it.
 *
 * @param context what was tried and on what
 */
export function describeAgentError(error: unknown, context: string): unknown {
  if (!(error instanceof AgentError)) return error;
  if (isErrno(error.code)) return new CallError(errnoError(error.code, context, error.path));
  const message = error.message === "" ? error.code : error.message;
  return new CallError({ constructorName: "Error", message: `${message}: ${context}`, code: error.code });
}

/** Runs a call of the agent and rewords its failure. */
export async function describing<T>(context: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw describeAgentError(error, context);
  }
}

/** The error object for anything that a handler threw. */
export function toSerializedError(error: unknown): SerializedError {
  if (error instanceof CallError) return error.serialized;
  if (error instanceof AgentError && error.code === "ECANCELED") return abortError();
  return encodeError(error);
}
