/** The user's own code in the egress path, as the interceptor sees it. It runs in a process of its own. */
import type { Readable } from "node:stream";
import type { ExpressionSpec, RequestTarget } from "../../policy/spec.ts";
import type { RequestHead, ResponseHead } from "../http-heads.ts";

export type RequestOutcome =
  | { kind: "forward"; head: RequestHead; body: Readable | null }
  /** The hook answers itself; nothing leaves. */
  | { kind: "respond"; head: ResponseHead; body: Readable | null };

export interface ResponseOutcome {
  head: ResponseHead;
  body: Readable | null;
}

/** What a rule in JavaScript said. */
export interface ExpressionOutcome {
  verdict: "allow" | "deny";
  /** The first expression that allowed; `null` when all said no. */
  expression: ExpressionSpec | null;
  /** A message that a rule gave for a denial, or what went wrong in one. */
  message: string | null;
}

/** A hook that failed, timed out, or whose process is gone: the request is refused. The message is for the user. */
export class HookError extends Error {
  override readonly name = "HookError";
}

export interface Hooks extends AsyncDisposable {
  /** Whether there is an `onRequest` (or an `onResponse`), so that every request has to be read. */
  readonly onRequestDefined: boolean;
  readonly onResponseDefined: boolean;
  /**
   * Hands a request to `onRequest`, before secrets are put in. The returned head is checked: same scheme, host and port
   * unless the hook changed the URL, in which case the caller decides on the new target.
   *
   * @throws HookError
   */
  onRequest(head: RequestHead, body: Readable | null, signal: AbortSignal): Promise<RequestOutcome>;
  /** Hands a response, with secrets already out of it, to `onResponse`. @throws HookError */
  onResponse(
    request: RequestHead,
    head: ResponseHead,
    body: Readable | null,
    signal: AbortSignal,
  ): Promise<ResponseOutcome>;
  /** Evaluates the policy's expressions for one request. A failure is a denial with a message, never an exception. */
  evaluate(target: RequestTarget, signal: AbortSignal): Promise<ExpressionOutcome>;
}
