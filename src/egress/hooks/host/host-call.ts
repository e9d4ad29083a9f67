/** One request or response in the hook process: the hook runs, its answer goes out, and the body it returned after that. */
import { FRAME } from "../../../protocol/agent-frames.ts";
import { CreditGate, IncomingBody, sendPart } from "../body-flow.ts";
import type { HookLink } from "../hook-link.ts";
import { RETURN_WINDOW_BYTES, type HostCallMessage, type InitCall } from "../hook-messages.ts";
import type { HookContext } from "../types.ts";
import { describeError } from "./describe-error.ts";
import { LazyBody } from "./lazy-body.ts";
import type { HookModule } from "./load-module.ts";
import { presentRequest, presentResponse } from "./presented.ts";
import { readRequestReturn, readResponseReturn, type Returned } from "./returned.ts";

/** A body that is whole at once is looked at so far, so that its length can be told. */
const MAX_AHEAD_BYTES = 1024 * 1024;

type HookMessage = Extract<HostCallMessage, { kind: "request" | "response" }>;
type Reader = ReadableStreamDefaultReader<Uint8Array>;

export class HostCall {
  readonly #link: HookLink;
  readonly #id: number;
  readonly #incoming: IncomingBody | null;
  readonly #gate = new CreditGate(RETURN_WINDOW_BYTES);
  readonly #controller = new AbortController();
  #reader: Reader | undefined;

  constructor(link: HookLink, id: number, hasBody: boolean) {
    this.#link = link;
    this.#id = id;
    this.#incoming = hasBody ? new IncomingBody(0, (bytes) => link.sendCredit(id, bytes)) : null;
  }

  /** Resolves when nothing of the call is left. */
  async run(message: HookMessage, module: HookModule, sandbox: InitCall["sandbox"]): Promise<void> {
    try {
      const { result, stream } = await this.#runHook(message, module, this.#context(sandbox, message.flow));
      if (stream === null) this.#link.send(FRAME.reply, this.#id, { ok: result });
      else await this.#sendBody(result, stream);
    } catch (error) {
      this.#link.send(FRAME.reply, this.#id, { error: describeError(error) });
    } finally {
      this.#incoming?.finish(new Error("the hook has returned: the body cannot be read any more"));
    }
  }

  /** Nobody waits for it any more. */
  cancel(): void {
    const reason = new Error("the request was given up");
    this.#controller.abort(reason);
    this.#incoming?.finish(reason);
    this.stop();
  }

  data(part: Buffer): void {
    this.#incoming?.push(part);
  }

  end(failure: string | null): void {
    this.#incoming?.finish(failure === null ? null : new Error(failure));
  }

  /** Nobody reads the returned body any more. */
  stop(): void {
    this.#gate.close();
    this.#reader?.cancel().catch(() => undefined); // the stream has its own ideas; it is not read any more
  }

  credit(bytes: number): void {
    this.#gate.add(bytes);
  }

  async #runHook(message: HookMessage, module: HookModule, context: HookContext): Promise<Returned> {
    if (message.kind === "request") {
      const lazy = this.#openBody(message.head.fields);
      const presented = presentRequest(message.head, lazy?.stream ?? null);
      return readRequestReturn(await module.onRequest?.(presented.request, context), presented, lazy);
    }
    const { head } = message;
    const lazy = this.#openBody(head.fields);
    const response = presentResponse(head, lazy?.stream ?? null);
    const { request } = presentRequest(message.request, null);
    const value = await module.onResponse?.(response, request, context);
    return readResponseReturn(value, { response, fields: head.fields, lazy });
  }

  #openBody(fields: HookMessage["head"]["fields"]): LazyBody | null {
    const incoming = this.#incoming;
    return incoming === null ? null : new LazyBody(incoming, fields, () => this.#link.sendStop(this.#id));
  }

  #context(sandbox: InitCall["sandbox"], flow: number): HookContext {
    const log = (...values: unknown[]): void => console.log(`flow ${flow}:`, ...values);
    return { sandbox, flow, signal: this.#controller.signal, log };
  }

  /** The answer with the length, if that shows at once; then the body. */
  async #sendBody(result: Returned["result"], stream: ReadableStream<Uint8Array>): Promise<void> {
    const reader = stream.getReader();
    this.#reader = reader;
    const ahead = await readAhead(reader);
    const length = ahead.next === null ? ahead.parts.reduce((sum, part) => sum + part.length, 0) : null;
    this.#link.send(FRAME.reply, this.#id, { ok: { ...result, length } });
    try {
      for (const part of ahead.parts) await this.#send(part);
      for (let next = ahead.next; next !== null; next = reader.read()) {
        const { done, value } = await next;
        if (done) break;
        await this.#send(bytesOf(value));
      }
      this.#link.sendEnd(this.#id);
    } catch (error) {
      this.#link.sendEnd(this.#id, describeError(error).message);
      this.stop();
    }
  }

  async #send(part: Uint8Array): Promise<void> {
    if (!(await sendPart(this.#link, this.#id, this.#gate, part))) throw new Error("nobody reads the body any more");
  }
}

/** What can be read in one turn of the event loop. `next` is the read under way, or `null` if that was all. */
async function readAhead(reader: Reader): Promise<{ parts: Uint8Array[]; next: ReturnType<Reader["read"]> | null }> {
  const turn = new Promise<null>((resolve) => setImmediate(resolve, null));
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const next = reader.read();
    const read = await Promise.race([next, turn]);
    if (read === null || bytes > MAX_AHEAD_BYTES) return { parts, next };
    if (read.done) return { parts, next: null };
    const part = bytesOf(read.value);
    bytes += part.length;
    parts.push(part);
  }
}

/** A stream of the user's may contain anything. */
function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`the body has a part that is no Uint8Array but a ${typeof value}`);
}
