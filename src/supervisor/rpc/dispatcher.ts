/**
 * From a request to its one answer. Application failures go into `result.error`; the top-level error is for requests
 * that no method can take (deno-sandbox-protocol, section 2.2). Long polls block nothing: every call runs by itself,
 * begun in the order of arrival.
 */
import {
  encodeErrorResult,
  encodeFailure,
  encodeResult,
  encodeTextResult,
  RPC_CODES,
  type RpcRequest,
} from "../../protocol/rpc-messages.ts";
import {
  isExtensionMethod,
  isRpcMethod,
  RPC_METHODS,
  type RpcMethodName,
  type RpcParams,
} from "../../protocol/rpc-methods.ts";
import { abortError } from "../../protocol/rpc-error.ts";
import { Aborts } from "./aborts.ts";
import { Base64Content } from "./base64-content.ts";
import { callErrno, toSerializedError } from "./call-error.ts";
import { requireFit } from "./dialect.ts";
import { handlerOf } from "./methods.ts";
import type { RpcSocket } from "./rpc-socket.ts";
import type { Call, Handler, Session } from "./session.ts";

/** Calls of one connection that may be under way; most of them wait for processes. */
const MAX_CALLS = 16_384;
/** Params under which a request names a stream of the client's. */
const STREAM_PARAMS = ["contentStreamId", "stdinStreamId", "bodyStreamId", "streamId"] as const;
/**
 * Time between a reply and the start of the streams that it names, `ms`. The published SDK can cancel a stream only if
 * it got hold of it before the start, and messages that arrive together are handled before its code goes on: without
 * a pause, breaking off a walk would end the client's process with the stream's end.
 */
const START_DELAY_MS = 10;
/** Issues of invalid params that are told. */
const MAX_ISSUES = 16;

export class Dispatcher {
  readonly #session: Session;
  readonly #socket: RpcSocket;
  readonly #aborts = new Aborts();
  #calls = 0;
  #bytes = 0;

  constructor(session: Session, socket: RpcSocket) {
    this.#session = session;
    this.#socket = socket;
  }

  /** What the requests under way took on the wire, and so about what they keep in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Answers a request, now or later; settles when it has been. Never throws or rejects. */
  async dispatch(request: RpcRequest, bytes: number): Promise<void> {
    this.#bytes += bytes;
    await this.#dispatch(request);
    this.#bytes -= bytes;
  }

  async #dispatch(request: RpcRequest): Promise<void> {
    const { id, method } = request;
    if (!isRpcMethod(method) || (isExtensionMethod(method) && !this.#session.extensions)) {
      this.#refuseStreams(request.params, new Error(`unknown method ${method.slice(0, 256)}`));
      this.#socket.send(encodeFailure(id, RPC_CODES.methodNotFound, "Method not found"));
      return;
    }
    const parsed = RPC_METHODS[method].params.safeParse(request.params ?? {});
    if (!parsed.success) {
      const issues = JSON.stringify(parsed.error.issues.slice(0, MAX_ISSUES));
      this.#refuseStreams(request.params, new Error("invalid params"));
      const data = { constructorName: "ZodError", message: issues };
      this.#socket.send(encodeFailure(id, RPC_CODES.invalidParams, "Invalid params", data));
      return;
    }
    if (method === "abort") this.#aborts.abort((parsed.data as RpcParams<"abort">).abortId);
    await this.#run(request, handlerOf(method, this.#session.dialect), parsed.data);
  }

  async #run(request: RpcRequest, handler: Handler<RpcMethodName>, params: RpcParams<RpcMethodName>): Promise<void> {
    const afterReply: (() => void)[] = [];
    const afterFlush: (() => void)[] = [];
    const flushed = (): void => runAll(afterFlush);
    const abort = this.#openAbort(params);
    let held: Promise<unknown> | undefined;
    const call: Call = {
      session: this.#session,
      signal: abort.signal,
      afterReply: (action) => afterReply.push(action),
      afterFlush: (action) => afterFlush.push(action),
      holdAbort: (until) => {
        held = until;
      },
    };
    this.#calls++;
    try {
      if (this.#calls > MAX_CALLS) throw callErrno("EAGAIN", `${MAX_CALLS} calls under way`);
      const result = await handler(call, params);
      if (result instanceof Base64Content) {
        const pieces = result.finish();
        requireFit(pieces, this.#session.dialect);
        this.#socket.sendPieces(encodeTextResult(request.id, pieces), flushed);
      } else {
        const reply = encodeResult(request.id, result);
        requireFit([reply], this.#session.dialect);
        this.#socket.send(reply, flushed);
      }
      this.#runLater(afterReply);
    } catch (error) {
      this.#refuseStreams(params, error);
      const serialized = abort.signal.aborted ? abortError() : toSerializedError(error);
      this.#socket.send(encodeErrorResult(request.id, serialized), flushed);
    } finally {
      this.#calls--;
      void Promise.resolve(held).then(abort.close, abort.close);
    }
  }

  /** With the extensions a stream may start at once; see {@link START_DELAY_MS} for other clients. */
  #runLater(actions: (() => void)[]): void {
    if (this.#session.extensions) runAll(actions);
    else if (actions.length > 0) setTimeout(() => runAll(actions), START_DELAY_MS).unref();
  }

  #openAbort(params: unknown): { signal: AbortSignal; close: () => void } {
    const { signal } = this.#session;
    const { abortId } = params as { abortId?: number | null };
    return abortId == null ? { signal, close: () => undefined } : this.#aborts.open(abortId, signal);
  }

  /** A stream that a failed request names is of no use to anybody: its producer is told to stop. */
  #refuseStreams(params: unknown, reason: unknown): void {
    if (typeof params !== "object" || params === null) return;
    const error = reason instanceof Error ? reason : new Error(String(reason));
    for (const name of STREAM_PARAMS) {
      const streamId = (params as Record<string, unknown>)[name];
      if (typeof streamId === "number") this.#session.incoming.refuse(streamId, error);
    }
  }
}

function runAll(actions: (() => void)[]): void {
  for (const action of actions.splice(0)) action();
}
