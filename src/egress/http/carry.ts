/**
 * One request from the guest to its upstream and the response back, as streams all the way: nothing of a body is held
 * but what the slower side has not taken yet.
 */
import type { Readable } from "node:stream";
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";
import { type IncomingSecrets, LeakError, type OutgoingSecrets } from "../secrets/secrets.ts";
import { type Admission, type AdmitContext, admit, runHook } from "./admit.ts";
import { type GuestExchange, mayHaveBody } from "./exchange.ts";
import { declaredLength, findBadLine } from "./fields.ts";
import type { HttpLimits } from "./limits.ts";
import { pump, SinkClosedError, through } from "./pump.ts";
import { leakRefusal, Refusal, refusalAnswer, upstreamRefusal } from "./refusal.ts";
import { type RecordContext, RequestRecord } from "./request-record.ts";
import { CallError, type UpstreamAnswer, type UpstreamCall } from "./upstream-call.ts";
import type { LeaseOptions, UpstreamPool } from "./upstream-pool.ts";

export interface CarryContext extends AdmitContext, RecordContext {
  pool: UpstreamPool;
  limits: HttpLimits;
  /** What the user calls the sandbox, for the command that would allow something. */
  sandboxRef: string;
}

/** RFC 9110, 9.2.2. */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
const MAX_ATTEMPTS = 3;

/** Never rejects: whatever goes wrong is told to the guest or, where a response has begun, breaks it off. */
export async function carry(context: CarryContext, exchange: GuestExchange): Promise<void> {
  const { head, carrier } = exchange;
  const record = new RequestRecord(context, carrier.facts, carrier.authority, head.method, head.target);
  const carriage = new Carriage(context, exchange, record);
  try {
    await carriage.run();
  } catch (error) {
    carriage.fail(error);
  } finally {
    record.write();
  }
}

type Forward = Extract<Admission, { kind: "forward" }>;

class Carriage {
  readonly #context: CarryContext;
  readonly #exchange: GuestExchange;
  readonly #record: RequestRecord;
  #call: UpstreamCall | null = null;

  constructor(context: CarryContext, exchange: GuestExchange, record: RequestRecord) {
    this.#context = context;
    this.#exchange = exchange;
    this.#record = record;
  }

  async run(): Promise<void> {
    const exchange = this.#exchange;
    const { hooks } = this.#context;
    // A hook may read the body, so that it has to come before any upstream could be asked.
    if (exchange.awaitsContinue && hooks?.onRequestDefined === true) exchange.sendContinue();
    const flow = { number: exchange.carrier.facts.flow, signal: exchange.signal };
    const admission = await admit(this.#context, exchange.head, exchange.body, this.#record, flow);
    if (admission.kind === "respond") {
      await this.#answer(admission.head, admission.body, () => []);
      return;
    }
    const answer = await this.#send(admission);
    const incoming = this.#context.secrets.openResponse(admission.head, answer.head);
    await this.#bringBack(admission.head, answer, incoming);
    // The response is complete. Whatever of the request is still on its way has no reader any more.
    this.#call?.destroy();
  }

  /** Tells the guest, if that is still possible, and lets go of everything. */
  fail(error: unknown): void {
    const exchange = this.#exchange;
    this.#call?.destroy();
    if (exchange.signal.aborted) {
      this.#record.failed("the client gave up");
      exchange.abort();
      return;
    }
    const refusal = asRefusal(error);
    if (exchange.responded) {
      this.#record.failed(refusal.message);
      exchange.abort();
      return;
    }
    this.#record.refused(refusal);
    const { secrets, sandboxRef } = this.#context;
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

  /** @throws Refusal, CallError, UpstreamError */
  async #send(request: Forward): Promise<UpstreamAnswer> {
    const { body } = request;
    const { head } = request.outgoing;
    const repeatable = body === null && IDEMPOTENT.has(head.method);
    let idle: LeaseOptions["idle"] = repeatable ? "any" : "recent";
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(request, idle);
      } catch (error) {
        const kind = error instanceof CallError ? error.kind : "failed";
        const again = body === null && (kind === "refused" || (kind === "stale" && repeatable));
        if (!again || attempt === MAX_ATTEMPTS || this.#exchange.signal.aborted) throw error;
        idle = "none";
      }
    }
  }

  async #attempt({ outgoing, body, bodyReplaced }: Forward, idle: LeaseOptions["idle"]): Promise<UpstreamAnswer> {
    const exchange = this.#exchange;
    const { signal, version } = exchange;
    const { head } = outgoing;
    const offer = version === "2" ? "h2" : "http/1.1";
    const lease = await this.#context.pool.lease(head, { offer, idle, signal });
    this.#record.address = lease.address;
    const waits = exchange.awaitsContinue && this.#context.hooks?.onRequestDefined !== true;
    let goOn: () => void = () => undefined;
    const continued = new Promise<void>((resolve) => (goOn = resolve));
    const call = lease.call({
      head,
      hasBody: body !== null,
      expectContinue: waits,
      onContinue: () => {
        if (waits) exchange.sendContinue();
        goOn();
      },
      onInterim: (status, fields) => this.#interim(status, fields),
    });
    this.#call = call;
    const abort = (): void => call.destroy();
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
    if (body === null) {
      call.finish([]);
      return this.#firstByte(call.answer);
    }
    if (waits) {
      // A client that was not answered sends the body after a while all the same (RFC 9110, 10.1.1).
      body.once("readable", goOn);
      await Promise.race([continued, call.answer]);
      body.off("readable", goOn);
    }
    return this.#withUpload(call, this.#upload(call, outgoing, body, bodyReplaced));
  }

  async #upload(call: UpstreamCall, outgoing: OutgoingSecrets, body: Readable, replaced: boolean): Promise<void> {
    const transform = outgoing.body();
    const source = transform === null ? body : through(body, transform);
    await pump(source, call.sink, declaredLength(outgoing.head.fields), this.#record.sent);
    this.#record.writeLeaks();
    call.finish(replaced ? [] : sendable(outgoing.trailers(this.#exchange.trailers())));
  }

  /** The response may come before the request is complete; a request that fails takes the response along. */
  async #withUpload(call: UpstreamCall, upload: Promise<void>): Promise<UpstreamAnswer> {
    const failed = new Promise<never>((_resolve, reject) => {
      upload.catch((error: unknown) => {
        // An upstream that takes no more may still answer.
        if (error instanceof SinkClosedError) return;
        call.destroy();
        if (this.#exchange.responded) this.#record.failed(asRefusal(error).message);
        reject(error instanceof Error ? error : new Error(String(error)));
      });
    });
    failed.catch(() => undefined);
    const timed = upload.then(
      () => this.#firstByte(call.answer),
      () => call.answer,
    );
    return Promise.race([call.answer, timed, failed]);
  }

  async #firstByte(answer: Promise<UpstreamAnswer>): Promise<UpstreamAnswer> {
    const { firstByteMs } = this.#context.limits;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Refusal(504, "upstream_failed", `the upstream did not answer in ${firstByteMs / 1000} s`));
      }, firstByteMs).unref();
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #interim(status: number, fields: FieldLines): void {
    if (this.#exchange.responded) return;
    try {
      const { head } = this.#context.secrets.openResponse(this.#exchange.head, { status, fields });
      if (findBadLine(head.fields) === null) this.#exchange.sendInterim(status, head.fields);
    } catch {
      // It is a hint, and the response itself comes later.
    }
  }

  async #bringBack(request: RequestHead, answer: UpstreamAnswer, incoming: IncomingSecrets): Promise<void> {
    let { head } = incoming;
    let { body } = answer;
    if (body !== null) {
      const transform = incoming.body();
      if (transform !== null) body = through(body, transform);
    }
    const { hooks } = this.#context;
    let replaced = false;
    if (hooks?.onResponseDefined === true) {
      const { signal, carrier } = this.#exchange;
      const outcome = await runHook(() => hooks.onResponse(request, head, body, signal, carrier.facts.flow));
      ({ head, body, bodyReplaced: replaced = false } = outcome);
    }
    await this.#answer(head, body, () => (replaced ? [] : incoming.trailers(answer.trailers())));
  }

  async #answer(head: ResponseHead, body: Readable | null, trailers: () => FieldLines): Promise<void> {
    const exchange = this.#exchange;
    const bad = findBadLine(head.fields);
    if (bad !== null) throw new Refusal(502, "upstream_failed", `the response cannot be passed on: ${bad}`);
    if (!Number.isInteger(head.status) || head.status < 200 || head.status > 599) {
      throw new Refusal(502, "upstream_failed", `the response has the status ${head.status}`);
    }
    const expected = declaredLength(head.fields);
    const carried = body !== null && mayHaveBody(exchange.head.method, head.status) ? body : null;
    if (exchange.signal.aborted) throw new SinkClosedError("the client is gone");
    this.#record.status = head.status;
    const sink = exchange.respond(head, carried !== null);
    if (carried !== null) await pump(carried, sink, expected, this.#record.received);
    exchange.finish(sendable(trailers()));
  }
}

function sendable(fields: FieldLines): FieldLines {
  if (fields.length === 0) return fields;
  const bad = findBadLine(fields);
  if (bad !== null) throw new Error(`a trailer cannot be sent: ${bad}`);
  return fields;
}

function asRefusal(error: unknown): Refusal {
  return error instanceof LeakError ? leakRefusal(error.leak) : upstreamRefusal(error);
}
