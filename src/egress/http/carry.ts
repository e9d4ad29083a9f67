/**
 * One request from the guest to its upstream and the response back, as streams all the way: nothing of a body is held
 * but what the slower side has not taken yet.
 */
import { Readable } from "node:stream";
import type { FieldLines, RequestHead } from "../http-heads.ts";
import type { OutgoingSecrets } from "../secrets/secrets.ts";
import { type Admission, type AdmitContext, admit } from "./admit.ts";
import { answerFailure, answerGuest, asRefusal, bringBack, sendable } from "./answer-guest.ts";
import type { GuestExchange } from "./exchange.ts";
import { declaredLength, findBadLine } from "./fields.ts";
import { Gathering } from "./gather.ts";
import type { HeldBytes } from "./held-bytes.ts";
import type { HttpLimits } from "./limits.ts";
import { pump, SinkClosedError, through } from "./pump.ts";
import { Refusal } from "./refusal.ts";
import { type RecordContext, RequestRecord } from "./request-record.ts";
import { CallError, type UpstreamAnswer, type UpstreamCall } from "./upstream-call.ts";
import type { LeaseOptions, UpstreamPool } from "./upstream-pool.ts";

export interface CarryContext extends AdmitContext, RecordContext {
  pool: UpstreamPool;
  limits: HttpLimits;
  /** Bodies that wait for their length. */
  gathered: HeldBytes;
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
  using carriage = new Carriage(context, exchange, record);
  try {
    await carriage.run();
  } catch (error) {
    carriage.fail(error);
  } finally {
    record.write();
  }
}

type Forward = Extract<Admission, { kind: "forward" }>;

/** What leaves, with secrets put in. */
interface Outbound {
  head: RequestHead;
  /** As it came, for whoever waits for its first byte; `null` where there is none. */
  body: Readable | null;
  /** What the upstream gets of it; reading it begins to read the body. */
  open: (body: Readable) => Readable;
  trailers: () => FieldLines;
  /** Whether the guest was told already that its body is wanted. */
  continued: boolean;
}

class Carriage implements Disposable {
  readonly #context: CarryContext;
  readonly #exchange: GuestExchange;
  readonly #record: RequestRecord;
  #call: UpstreamCall | null = null;
  #gathering: Gathering | null = null;

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
      await answerGuest(exchange, this.#record, admission.head, admission.body, () => []);
      return;
    }
    const answer = await this.#send(await this.#prepare(admission));
    await bringBack(this.#context, exchange, this.#record, admission.head, answer);
    // The response is complete. Whatever of the request is still on its way has no reader any more.
    this.#call?.destroy();
  }

  /** Tells the guest, if that is still possible, and lets go of everything. */
  fail(error: unknown): void {
    this.#call?.destroy();
    answerFailure(this.#context, this.#exchange, this.#record, error);
  }

  [Symbol.dispose](): void {
    this.#gathering?.[Symbol.dispose]();
  }

  /** @throws LeakError */
  async #prepare({ outgoing, body, bodyReplaced }: Forward): Promise<Outbound> {
    const { hooks, limits, gathered } = this.#context;
    const { head, removedLength } = outgoing;
    const outbound: Outbound = {
      ...{ head, body, open: (from) => translated(outgoing, from), continued: hooks?.onRequestDefined === true },
      trailers: () => (bodyReplaced ? [] : outgoing.trailers(this.#exchange.trailers())),
    };
    if (body === null || removedLength === null || removedLength > limits.gatheredBodyBytes) return outbound;
    // Some servers take no body without a length (411, RFC 9110, 15.5.12), however small it is.
    if (this.#exchange.awaitsContinue) this.#exchange.sendContinue();
    const source = translated(outgoing, body);
    this.#gathering = new Gathering(gathered, limits.gatheredBodyBytes);
    const whole = await this.#gathering.read(source);
    if (whole === null) return { ...outbound, continued: true, open: () => source.resume() };
    const fields: FieldLines = [...head.fields, ["content-length", String(whole.length)]];
    return { ...outbound, continued: true, head: { ...head, fields }, open: () => Readable.from([whole]) };
  }

  /** @throws Refusal, CallError, UpstreamError */
  async #send(request: Outbound): Promise<UpstreamAnswer> {
    const { head, body } = request;
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

  async #attempt(outbound: Outbound, idle: LeaseOptions["idle"]): Promise<UpstreamAnswer> {
    const exchange = this.#exchange;
    const { signal, version } = exchange;
    const { head, body } = outbound;
    const offer = version === "2" ? "h2" : "http/1.1";
    const lease = await this.#context.pool.lease(head, { offer, idle, signal });
    this.#record.address = lease.address;
    const waits = exchange.awaitsContinue && !outbound.continued;
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
    return this.#withUpload(call, this.#upload(call, outbound, body));
  }

  async #upload(call: UpstreamCall, { head, open, trailers }: Outbound, body: Readable): Promise<void> {
    const source = open(body);
    const options = { expectedBytes: declaredLength(head.fields), meter: this.#record.sent };
    await pump(source, call.sink, options);
    this.#record.writeLeaks();
    call.finish(sendable(trailers()));
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

  #firstByte(answer: Promise<UpstreamAnswer>): Promise<UpstreamAnswer> {
    const { firstByteMs } = this.#context.limits;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Refusal(504, "upstream_failed", `the upstream did not answer in ${firstByteMs / 1000} s`));
      }, firstByteMs).unref();
      answer.then(
        (answered) => {
          clearTimeout(timer);
          resolve(answered);
        },
        (error: unknown) => {
          clearTimeout(timer);
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
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
}

function translated(outgoing: OutgoingSecrets, body: Readable): Readable {
  const transform = outgoing.body();
  return transform === null ? body : through(body, transform);
}
