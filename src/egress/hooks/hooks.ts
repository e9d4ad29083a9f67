/** The user's own code in the egress path, as the interceptor sees it. It runs in a process of its own. */
import type { Readable } from "node:stream";
import type { ExpressionSpec, RequestTarget } from "../../policy/spec.ts";
import type { RequestHead, ResponseHead } from "../http-heads.ts";

export type RequestOutcome =
  | {
      kind: "forward";
      head: RequestHead;
      body: Readable | null;
      /** Whether the body is another one than came in; trailers do not belong to it then. */
      bodyReplaced?: boolean;
    }
  /** The hook answers itself; nothing leaves. */
  | { kind: "respond"; head: ResponseHead; body: Readable | null };

export interface ResponseOutcome {
  head: ResponseHead;
  body: Readable | null;
  /** As for a request. */
  bodyReplaced?: boolean;
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
  /** Why there is no hook process at the moment; `null` while there is one, or where none is needed. */
  readonly trouble: string | null;
  /**
   * Hands a request to `onRequest`, before secrets are put in. The returned head is checked: same scheme, host and port
   * unless the hook changed the URL, in which case the caller decides on the new target. `content-length` is right for
   * the returned body, or absent. A body that is not part of the outcome stays the caller's, read or not.
   *
   * @param flow number of the guest's connection, for the hook's context
   * @throws HookError
   */
  onRequest(head: RequestHead, body: Readable | null, signal: AbortSignal, flow?: number): Promise<RequestOutcome>;
  /** Hands a response, with secrets already out of it, to `onResponse`. @throws HookError */
  onResponse(
    request: RequestHead,
    head: ResponseHead,
    body: Readable | null,
    signal: AbortSignal,
    flow?: number,
  ): Promise<ResponseOutcome>;
  /** Evaluates the policy's expressions for one request. A failure is a denial with a message, never an exception. */
  evaluate(target: RequestTarget, signal: AbortSignal): Promise<ExpressionOutcome>;
}
