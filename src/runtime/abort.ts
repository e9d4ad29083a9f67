/** What an aborted call throws. */
import { SbxError } from "./errors.ts";

/**
 * The error of a call that its caller ended: the signal's reason if that already is sbx's own, `timeout` if a timer
 * fired it, else `aborted`.
 *
 * @param what the call, as in "connecting to the sandbox"
 */
export function abortedError(signal: AbortSignal | undefined, what: string): SbxError {
  const reason: unknown = signal?.reason;
  if (reason instanceof SbxError) return reason;
  if (reason instanceof Error && reason.name === "TimeoutError") {
    return new SbxError("timeout", `${what} took longer than allowed`, { cause: reason });
  }
  return new SbxError("aborted", `${what} was aborted`, { cause: reason });
}

/** @throws what {@link abortedError} makes, if the signal has fired */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted === true) throw abortedError(signal, what);
}
