/**
 * The way back to the guest: an upstream's response, with secrets taken out and the user's hook asked; a hook's own answer;
 * or the reason why there is none. Whatever answers a request, a WebSocket's handshake included, goes through here.
 */
import type { Readable } from "node:stream";
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";
import { type BodyFilter, LeakError, type Secrets } from "../secrets/secrets.ts";
import { type AdmitContext, runHook } from "./admit.ts";
import { type GuestExchange, mayHaveBody } from "./exchange.ts";
import { declaredLength, findBadLine } from "./fields.ts";
import { pump, SinkClosedError, through } from "./pump.ts";
import { leakRefusal, Refusal, refusalAnswer, upstreamRefusal } from "./refusal.ts";
import type { RequestRecord } from "./request-record.ts";
import type { UpstreamAnswer } from "./upstream-call.ts";

export interface FailureContext {
  secrets: Secrets;
  /** What the user calls the sandbox, for the command that would allow something. */
  sandboxRef: string;
}

/** @param request without any secret */
export async function bringBack(
  { secrets, hooks }: Pick<AdmitContext, "secrets" | "hooks">,
  exchange: GuestExchange,
  record: RequestRecord,
  request: RequestHead,
  answer: UpstreamAnswer,
): Promise<void> {
  const incoming = secrets.openResponse(request, answer.head);
  let { head } = incoming;
  let { body } = answer;
  const asksHook = hooks?.onResponseDefined === true;
  // A stream of its own costs more than what is done to a small body.
  const filter = body === null || asksHook ? null : incoming.bodyFilter();
  if (body !== null && filter === null) {
    const transform = incoming.body();
    if (transform !== null) body = through(body, transform);
  }
  let replaced = false;
  if (asksHook) {
    const { signal, carrier } = exchange;
    const outcome = await runHook(() => hooks.onResponse(request, head, body, signal, carrier.facts.flow));
    ({ head, body, bodyReplaced: replaced = false } = outcome);
  }
  const trailers = (): FieldLines => (replaced ? [] : incoming.trailers(answer.trailers()));
  await answerGuest(exchange, record, head, body, trailers, filter);
}

/** @throws Refusal for a response that cannot be sent, of which nothing has been then */
export async function answerGuest(
  exchange: GuestExchange,
  record: RequestRecord,
  head: ResponseHead,
  body: Readable | null,
  trailers: () => FieldLines,
  filter: BodyFilter | null = null,
): Promise<void> {
  const bad = findBadLine(head.fields);
  if (bad !== null) throw new Refusal(502, "upstream_failed", `the response cannot be passed on: ${bad}`);
  if (!Number.isInteger(head.status) || head.status < 200 || head.status > 599) {
    throw new Refusal(502, "upstream_failed", `the response has the status ${head.status}`);
  }
  const expected = declaredLength(head.fields);
  const carried = body !== null && mayHaveBody(exchange.head.method, head.status) ? body : null;
  if (exchange.signal.aborted) throw new SinkClosedError("the client is gone");
  record.status = head.status;
  const sink = exchange.respond(head, carried !== null);
  if (carried !== null) await pump(carried, sink, { expectedBytes: expected, meter: record.received, filter });
  exchange.finish(sendable(trailers()));
}

/** Tells the guest what went wrong, if that is still possible; a response that has begun is broken off. */
export function answerFailure(
  { secrets, sandboxRef }: FailureContext,
  exchange: GuestExchange,
  record: RequestRecord,
  error: unknown,
): void {
  if (exchange.signal.aborted) {
    record.failed("the client gave up");
    exchange.abort();
    return;
  }
  const refusal = asRefusal(error);
  if (exchange.responded) {
    record.failed(refusal.message);
    exchange.abort();
    return;
  }
  record.refused(refusal);
  const { status, fields, body } = refusalAnswer(refusal, sandboxRef, (text) => secrets.scrubText(text));
  try {
    const hasBody = mayHaveBody(exchange.head.method, status);
    const sink = exchange.respond({ status, fields }, hasBody);
    if (hasBody) sink.write(body);
    exchange.finish([]);
  } catch {
    exchange.abort(); // The guest went away between the check and the answer.
  }
}

/** @throws Error for a trailer that cannot be sent */
export function sendable(fields: FieldLines): FieldLines {
  if (fields.length === 0) return fields;
  const bad = findBadLine(fields);
  if (bad !== null) throw new Error(`a trailer cannot be sent: ${bad}`);
  return fields;
}

export function asRefusal(error: unknown): Refusal {
  return error instanceof LeakError ? leakRefusal(error.leak) : upstreamRefusal(error);
}
