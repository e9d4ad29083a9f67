/**
 * The types of a hook module, for `import type { OnRequest } from "sbx/hooks"`. This file stands alone: it is published
 * as the declaration of that name.
 */

/** What a hook is told beside the request. */
export interface HookContext {
  readonly sandbox: { readonly id: string; readonly name: string };
  /** Number of the guest's TCP connection, as in `sbx net log`. */
  readonly flow: number;
  /** Aborted when the program in the sandbox has gone, and when the hook's time is over. */
  readonly signal: AbortSignal;
  /** Writes one line to the sandbox's log, with the flow's number. */
  readonly log: (...values: unknown[]) => void;
}

/**
 * Called before a request leaves, and before secrets are put in.
 *
 * @returns nothing to forward it unchanged, a `Request` to forward that one, a `Response` to answer without forwarding
 */
export type OnRequest = (
  request: Request,
  context: HookContext,
) => Request | Response | undefined | void | Promise<Request | Response | undefined | void>;

/**
 * Called when the head of a response is there; values of secrets are placeholders again.
 *
 * @param request as it was sent, without its body
 * @returns nothing to pass the response on unchanged, or another `Response`
 */
export type OnResponse = (
  response: Response,
  request: Request,
  context: HookContext,
) => Response | undefined | void | Promise<Response | undefined | void>;
