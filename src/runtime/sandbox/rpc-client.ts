/**
 * One connection to a sandbox: calls, notifications and streams of the sandbox RPC (deno-sandbox-protocol, section 2,
 * and docs/protocol-supervisor.md). The server is a supervisor or a control plane; every message is checked, and a
 * violation ends the connection.
 */
import type { Agent } from "node:http";
import { decodeBinaryParts } from "../../protocol/binary-frames.ts";
import { decodeError } from "../../protocol/rpc-error.ts";
import { HEARTBEAT_MS } from "../../protocol/rpc-limits.ts";
import {
  CLOSE_CODES,
  encodeNotification,
  encodeRequest,
  EXTENSIONS_HEADER,
  EXTENSIONS_VERSION,
  HEARTBEAT,
  MessageError,
  type Notification,
  parseNotification,
  parseServerMessage,
  PRIMARY_HEADER,
  RPC_CODES,
  type RpcReply,
  SANDBOX_ID_HEADER,
} from "../../protocol/rpc-messages.ts";
import {
  isExtensionMethod,
  RPC_METHODS,
  type RpcMethodName,
  type RpcParamsInput,
  type RpcResult,
} from "../../protocol/rpc-methods.ts";
import { abortedError, throwIfAborted } from "../abort.ts";
import { SbxError } from "../errors.ts";
import type { MessageSocket } from "./message-socket.ts";
import { RpcDuplex, RpcReadable, RpcWritable } from "./rpc-stream.ts";
import { StreamTable } from "./stream-table.ts";
import { sendStreamData } from "./stream-encoding.ts";

export interface RpcTarget {
  /** Path of the supervisor's Unix socket, and of the endpoint on it. */
  socketPath?: string;
  /** `ws:` or `wss:` address of the endpoint on a control plane. */
  url?: string;
  /** Opens connections to a URL; direct ones if absent. */
  agent?: Agent | undefined;
  /** How long a URL's opening handshake may take, `ms`. */
  handshakeTimeoutMs?: number | undefined;
  /** Request path on the Unix socket, such as `/api/v3/sandbox/<id>/connect`. */
  requestPath?: string;
}

export interface ConnectOptions extends RpcTarget {
  headers?: Readonly<Record<string, string>>;
  /** Token that makes this the connection a `session` sandbox lives with. */
  primary?: string;
  /** Whether to ask for sbx's extensions. Default true. */
  extensions?: boolean;
  signal?: AbortSignal;
  /** Interval of the heartbeat, `ms`. Default 2,000, as the SDK's. */
  heartbeatMs?: number;
  /** Gives up when nothing was heard for so long, `ms`. By default only for URLs: a Unix socket's peer cannot vanish. */
  silenceMs?: number;
}

export interface RpcCallOptions<R> {
  /** Rejects the call at once; the server is not told. */
  signal?: AbortSignal | undefined;
  /** Takes the result of a call that was aborted before it was answered, to undo it. */
  onLate?: (result: R) => void;
}

interface PendingCall {
  method: RpcMethodName;
  resolve: (ok: unknown) => void;
  reject: (error: Error) => void;
}

const DEFAULT_SILENCE_MS = 30_000;

/**
 * Connects to the sandbox RPC.
 *
 * @throws SbxError `supervisor_lost`, `connection_closed`, `aborted`, or what the server's refusal says
 */
export async function connectRpc(options: ConnectOptions): Promise<RpcClient> {
  const headers: Record<string, string> = { ...options.headers };
  if (options.extensions !== false) headers[EXTENSIONS_HEADER] = EXTENSIONS_VERSION;
  if (options.primary !== undefined) headers[PRIMARY_HEADER] = options.primary;
  if (options.url !== undefined) {
    const { openUrlWebSocket } = await import("./url-websocket.ts");
    const socket = await openUrlWebSocket(options.url, headers, options);
    return new RpcClient(socket, options.heartbeatMs, options.silenceMs ?? DEFAULT_SILENCE_MS);
  }
  if (options.socketPath === undefined) throw new SbxError("internal", "neither a socket path nor a URL to connect to");
  const { openUnixWebSocket } = await import("./unix-websocket.ts");
  const requestPath = options.requestPath ?? "/";
  const socket = await openUnixWebSocket(options.socketPath, requestPath, headers, options.signal);
  return new RpcClient(socket, options.heartbeatMs, options.silenceMs);
}

export class RpcClient implements AsyncDisposable {
  /** Id that the server gave in the handshake. */
  readonly sandboxId: string | undefined;
  /** Whether both ends agreed on sbx's extensions. */
  readonly hasExtensions: boolean;
  /** Settles when the connection is gone, with the reason unless it was closed from this side. Never rejects. */
  readonly closed: Promise<SbxError | undefined>;
  readonly #socket: MessageSocket;
  readonly #streams: StreamTable;
  readonly #calls = new Map<number, PendingCall>();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #silenceMs: number | undefined;
  #nextCallId = 0;
  #lastHeardMs = performance.now();
  #isClosing = false;
  #closeError: SbxError | undefined;
  readonly #settleClosed: (reason: SbxError | undefined) => void;

  constructor(socket: MessageSocket, heartbeatMs = HEARTBEAT_MS, silenceMs?: number) {
    this.#socket = socket;
    this.#silenceMs = silenceMs;
    this.sandboxId = socket.headers[SANDBOX_ID_HEADER];
    this.hasExtensions = socket.headers[EXTENSIONS_HEADER] === EXTENSIONS_VERSION;
    const { promise, resolve } = Promise.withResolvers<SbxError | undefined>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#streams = new StreamTable({
      hasCredits: this.hasExtensions,
      sendData: (id, chunk, written) => sendStreamData(socket, this.hasExtensions, id, chunk, written),
      notify: (notification) => this.notify(notification),
      pauseReading: () => socket.pause(),
      resumeReading: () => socket.resume(),
    });
    this.#heartbeat = setInterval(() => this.#beat(), heartbeatMs).unref();
    socket.start({
      text: (text) => this.#guard(() => this.#onText(text)),
      binary: (parts, totalBytes) => this.#guard(() => this.#onBinary(parts, totalBytes)),
      close: (code, reason, error) => this.#onClose(code, reason, error),
    });
  }

  /**
   * Calls a method; the answer is checked against the method's schema.
   *
   * @throws RemoteError with what the server reported; SbxError `connection_closed`, `aborted` or `unsupported`
   */
  async call<M extends RpcMethodName>(
    method: M,
    params: RpcParamsInput<M>,
    options: RpcCallOptions<RpcResult<M>> = {},
  ): Promise<RpcResult<M>> {
    const { signal, onLate } = options;
    if (this.#closeError !== undefined) throw this.#closeError;
    throwIfAborted(signal, method);
    if (isExtensionMethod(method) && !this.hasExtensions) {
      throw new SbxError("unsupported", `this sandbox's server does not offer ${method}`);
    }
    const answer = this.#request(method, params);
    if (signal === undefined) return readResult(method, await answer);
    const onAnswer = async (): Promise<RpcResult<M>> => readResult(method, await answer);
    return raceAbort(onAnswer(), signal, method, onLate);
  }

  /** Sends a notification; nothing happens on a connection that is gone. */
  notify(notification: Notification): void {
    this.#socket.sendText(encodeNotification(notification));
  }

  /**
   * The bytes of a stream that a reply named.
   *
   * @param windowBytes what the server was asked to keep to, if it is less than usual
   */
  openReadable(streamId: number, windowBytes?: number): { stream: RpcReadable; received: Promise<void> } {
    const inbound = this.#streams.claimInbound(streamId);
    return { stream: new RpcReadable(inbound, windowBytes), received: inbound.received };
  }

  /** A new stream to the server, to be named in the call that comes next. */
  openWritable(): RpcWritable {
    return new RpcWritable(this.#streams.openOutbound());
  }

  /**
   * Both directions at once.
   *
   * @param open makes the call that gives the new stream's id to the server and gets one from it
   */
  async openDuplex(open: (outboundId: number) => Promise<number>): Promise<RpcDuplex> {
    const outbound = this.#streams.openOutbound();
    try {
      return new RpcDuplex(this.#streams.claimInbound(await open(outbound.id)), outbound);
    } catch (error) {
      outbound.fail(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  /** Cancels a stream that a late reply named. */
  refuseStream(streamId: number): void {
    this.#streams.refuseInbound(streamId);
  }

  /** Closes the connection and waits until it is. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#socket.close(1005, "");
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #request(method: RpcMethodName, params: unknown): Promise<unknown> {
    const id = this.#nextCallId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#calls.set(id, { method, resolve, reject });
    this.#socket.sendText(encodeRequest(id, method, params));
    return promise;
  }

  #onText(text: string): void {
    this.#lastHeardMs = performance.now();
    if (text === HEARTBEAT.pong) return;
    const message = parseServerMessage(text);
    if (message.kind !== "notification") {
      this.#onReply(message);
      return;
    }
    const notification = parseNotification(message);
    // Watchers belong to `deno run --watch`, which this client does not start.
    if (notification === undefined || notification.method === "$sandbox.deno.watcher.restart") return;
    this.#streams.onNotification(notification);
  }

  #onBinary(parts: readonly Buffer[], totalBytes: number): void {
    this.#lastHeardMs = performance.now();
    if (!this.hasExtensions) throw new MessageError("a binary message without the extensions");
    const { streamId, payload, payloadBytes } = decodeBinaryParts(parts, totalBytes);
    this.#streams.onData(streamId, payload, payloadBytes);
  }

  #onReply(reply: RpcReply): void {
    const call = typeof reply.id === "number" ? this.#calls.get(reply.id) : undefined;
    if (call === undefined || typeof reply.id !== "number") return;
    this.#calls.delete(reply.id);
    if (reply.kind === "failure") call.reject(failureError(call.method, reply.code, reply.message));
    else if ("error" in reply.outcome) call.reject(decodeError(reply.outcome.error));
    else call.resolve(reply.outcome.ok);
  }

  /** A message that breaks the protocol ends the connection; the server is told why. */
  #guard(handle: () => void): void {
    if (this.#closeError !== undefined) return;
    try {
      handle();
    } catch (error) {
      const code = error instanceof MessageError ? error.closeCode : CLOSE_CODES.invalidMessage;
      this.#closeError ??= closedError("the sandbox's server broke the protocol", error);
      this.#socket.close(code, error instanceof Error ? error.message : String(error));
    }
  }

  #beat(): void {
    if (this.#silenceMs !== undefined && performance.now() - this.#lastHeardMs > this.#silenceMs) {
      this.#closeError ??= closedError(`nothing was heard from the sandbox for ${this.#silenceMs} ms`);
      this.#socket.destroy();
      return;
    }
    this.#socket.sendText(HEARTBEAT.ping);
  }

  #onClose(code: number, reason: string, error?: Error): void {
    clearInterval(this.#heartbeat);
    const closeError = this.#closeError ?? closedError(describeClose(code, reason), error);
    const wasAskedFor = this.#isClosing && this.#closeError === undefined;
    this.#closeError = closeError;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.reject(closeError);
    this.#streams.close(closeError);
    this.#settleClosed(wasAskedFor ? undefined : closeError);
  }
}

function readResult<M extends RpcMethodName>(method: M, ok: unknown): RpcResult<M> {
  const parsed = RPC_METHODS[method].result.safeParse(ok);
  if (parsed.success) return parsed.data as RpcResult<M>;
  throw new SbxError("internal", `the sandbox's server gave a wrong answer to ${method}`, { cause: parsed.error });
}

async function raceAbort<R>(
  answer: Promise<R>,
  signal: AbortSignal,
  what: string,
  onLate: ((result: R) => void) | undefined,
): Promise<R> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    reject(abortedError(signal, what));
    // Too late for the caller; an error of the abandoned call means that there is nothing to undo.
    answer.then(onLate, () => undefined);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([answer, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function failureError(method: string, code: number, message: string): SbxError {
  if (code === RPC_CODES.methodNotFound) {
    return new SbxError("unsupported", `this sandbox's server does not offer ${method}`);
  }
  return new SbxError("internal", `${method} was refused: ${message} (code ${code})`);
}

function closedError(message: string, cause?: unknown): SbxError {
  return new SbxError("connection_closed", message, {
    ...(cause === undefined ? {} : { cause }),
    hint: "see whether it is still there: sbx list",
  });
}

function describeClose(code: number, reason: string): string {
  if (reason !== "") return `the connection to the sandbox was closed: ${reason}`;
  return code === 1006 ? "the connection to the sandbox broke" : `the connection to the sandbox was closed (${code})`;
}
