/** What every request goes through before anything of it leaves: the policy, the user's hooks, and the secrets last. */
import type { Readable } from "node:stream";
import type { Decision, RequestTarget } from "../../policy/spec.ts";
import { HookError, type Hooks } from "../hooks/hooks.ts";
import type { RequestHead, ResponseHead } from "../http-heads.ts";
import type { OutgoingSecrets, Secrets } from "../secrets/secrets.ts";
import { checkMethod, isSendableTarget } from "./authority.ts";
import { findBadLine } from "./fields.ts";
import { deniedBy, leakRefusal, Refusal } from "./refusal.ts";
import type { RequestRecord } from "./request-record.ts";

export interface AdmitContext {
  decide(target: RequestTarget, signal: AbortSignal): Promise<Decision>;
  secrets: Secrets;
  hooks: Hooks | null;
}

export type Admission =
  | {
      kind: "forward";
      /** Without any secret: what the guest sent, or what the hook made of it. */
      head: RequestHead;
      outgoing: OutgoingSecrets;
      body: Readable | null;
      /** Whether a hook put another body in; the guest's trailers do not belong to that. */
      bodyReplaced: boolean;
    }
  /** The hook's own answer. */
  | { kind: "respond"; head: ResponseHead; body: Readable | null };

/** @throws Refusal */
export async function admit(
  context: AdmitContext,
  original: RequestHead,
  originalBody: Readable | null,
  record: RequestRecord,
  flow: { number: number; signal: AbortSignal },
): Promise<Admission> {
  const { signal } = flow;
  record.decision = await allowed(context, original, signal);
  let head = original;
  let body = originalBody;
  let bodyReplaced = false;
  if (context.hooks?.onRequestDefined === true) {
    const outcome = await runHook(() => context.hooks?.onRequest(original, originalBody, signal, flow.number));
    if (outcome.kind === "respond") return outcome;
    ({ head, body, bodyReplaced = false } = outcome);
    if (isElsewhere(head, original)) {
      checkMethod(head.method);
      record.redirected(head);
      record.decision = await allowed(context, head, signal);
    }
  }
  const outgoing = openRequest(context.secrets, head);
  record.outgoing = outgoing;
  if (!outgoing.blocked) record.writeLeaks();
  if (outgoing.blocked) {
    const [leak] = outgoing.leaks;
    throw leak === undefined ? new Refusal(403, "blocked_by_sbx", "the request holds a secret") : leakRefusal(leak);
  }
  if (!isSendableTarget(outgoing.head.target)) {
    throw new Refusal(400, "bad_request", "the request's target has a forbidden character, from a hook or a secret");
  }
  const bad = findBadLine(outgoing.head.fields);
  if (bad !== null) throw new Refusal(400, "bad_request", `the request cannot be sent: ${bad}`);
  return { kind: "forward", head, outgoing, body, bodyReplaced };
}

/** @throws Refusal */
async function allowed(context: AdmitContext, head: RequestHead, signal: AbortSignal): Promise<Decision> {
  const { host, port, scheme, method, target } = head;
  let decision: Decision;
  try {
    decision = await context.decide({ host, port, scheme, method, target }, signal);
  } catch (error) {
    throw new Refusal(403, "blocked_by_sbx", `the policy cannot be asked: ${messageOf(error)}`, { cause: error });
  }
  if (decision.verdict !== "allow") throw deniedBy(decision);
  return decision;
}

/** @throws Refusal */
function openRequest(secrets: Secrets, head: RequestHead): OutgoingSecrets {
  try {
    return secrets.openRequest(head);
  } catch (error) {
    throw new Refusal(500, "internal_error", `secrets cannot be put in: ${messageOf(error)}`, { cause: error });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** @throws Refusal */
export async function runHook<T>(call: () => Promise<T> | undefined): Promise<T> {
  try {
    const outcome = await call();
    if (outcome === undefined) throw new HookError("the hook process is gone");
    return outcome;
  } catch (error) {
    if (error instanceof HookError) throw new Refusal(502, "hook_failed", error.message, { cause: error });
    throw error;
  }
}

function isElsewhere(head: RequestHead, original: RequestHead): boolean {
  return (
    head.host !== original.host ||
    head.port !== original.port ||
    head.scheme !== original.scheme ||
    head.method !== original.method ||
    head.target !== original.target
  );
}
