/** One call to the hook process, from the message to the end of the body that it returned. */
import type { Readable } from "node:stream";
import { FRAME } from "../../protocol/agent-frames.ts";
import { IncomingBody, toReadable } from "./body-flow.ts";
import { BodyTap, type KeptBudget } from "./body-tap.ts";
import type { HookLink } from "./hook-link.ts";
import { RETURN_WINDOW_BYTES, type HostCallMessage } from "./hook-messages.ts";

export interface CallHost {
  readonly link: HookLink;
  readonly budget: KeptBudget;
  forget(call: OpenCall): void;
}

/** A call, whatever its answer is. */
export type OpenCall = Pick<HookCall, "id" | "tap" | "reply" | "data" | "end" | "fail">;

/** What a reply means, as far as a call has to know. */
export interface CallAnswer<T> {
  value: T;
  /** Whether a body follows. */
  streams: boolean;
}

export interface CallOptions<T> {
  id: number;
  message: HostCallMessage;
  body: Readable | null;
  /** @throws Error for an answer that is none */
  read: (value: unknown) => CallAnswer<T>;
  /** An error that the hook process reports. */
  failed: (value: unknown) => Error;
}

export class HookCall<T = unknown> {
  readonly id: number;
  readonly answer: Promise<T>;
  readonly tap: BodyTap | null;
  readonly #host: CallHost;
  readonly #options: CallOptions<T>;
  #settle: { resolve: (value: T) => void; reject: (error: Error) => void } | undefined;
  #incoming: IncomingBody | undefined;

  /** @throws RangeError for a message that is too large */
  constructor(host: CallHost, options: CallOptions<T>) {
    this.#host = host;
    this.#options = options;
    this.id = options.id;
    this.answer = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.answer.catch(() => undefined); // a call can fail before anybody waits for it
    host.link.send(FRAME.call, options.id, options.message);
    this.tap = options.body === null ? null : new BodyTap(options.body, host.link, options.id, host.budget);
  }

  /** The body that the hook returned. To be taken at once, since it arrives without being asked for. */
  takeBody(): Readable {
    const incoming = this.#incoming;
    if (incoming === undefined) throw new Error("no body follows");
    return toReadable(incoming, () => this.#stopReading());
  }

  /** @throws Error for what is no answer, or a second one */
  reply(value: unknown): void {
    const settle = this.#settle;
    if (settle === undefined) throw new Error("a second answer to a call");
    const { ok, error } = value as { ok?: unknown; error?: unknown };
    if (error !== undefined) {
      this.fail(this.#options.failed(error));
      return;
    }
    const answer = this.#options.read(ok);
    this.#settle = undefined;
    if (answer.streams) {
      this.#incoming = new IncomingBody(RETURN_WINDOW_BYTES, (bytes) => this.#host.link.sendCredit(this.id, bytes));
      this.tap?.drop();
    } else {
      this.#host.forget(this);
    }
    settle.resolve(answer.value);
  }

  data(part: Buffer): void {
    if (this.#incoming === undefined) throw new Error("a body before the answer");
    this.#incoming.push(part);
  }

  end(failure: Error | null): void {
    if (this.#incoming === undefined) throw new Error("the end of a body before the answer");
    this.#incoming.finish(failure);
    this.#close();
  }

  /** Nobody waits for the hook any more. */
  cancel(reason: Error): void {
    this.#host.link.sendCancel(this.id);
    this.fail(reason);
  }

  /** The hook failed, or its process is gone. */
  fail(reason: Error): void {
    this.#settle?.reject(reason);
    this.#settle = undefined;
    this.#incoming?.finish(reason);
    this.#close();
  }

  #stopReading(): void {
    this.#incoming?.finish(null);
    this.#host.link.sendStop(this.id);
    this.#close();
  }

  #close(): void {
    this.tap?.close();
    this.#host.forget(this);
  }
}
