/**
 * The upstream's leg where it speaks HTTP/1.1: Node's client on a socket that was connected and verified elsewhere. A
 * response is read by Node's strict parser with a limit on its header; what would be read twice differently ends the
 * connection.
 */
import { Agent, type ClientRequest, type IncomingMessage, request as startRequest } from "node:http";
import type { Socket } from "node:net";
import type { FieldLines } from "../http-heads.ts";
import { type Authority, writeAuthority } from "./authority.ts";
import { type BodySink, mayHaveBody } from "./exchange.ts";
import { declaredLength, endToEndLines, pairs, rawValues, trailerLines } from "./fields.ts";
import type { HttpLimits } from "./limits.ts";
import { PromptHead } from "./prompt-head.ts";
import { CallError, type CallOptions, type UpstreamAnswer, type UpstreamCall } from "./upstream-call.ts";

/** Methods whose requests without a body get a Content-Length all the same: some servers insist (RFC 9110, 8.6). */
const EXPECTS_BODY = new Set(["POST", "PUT", "PATCH"]);

const WITHOUT_RESPONSE = "the upstream closed the connection without a response";

/** Hands Node's client the one socket, and keeps that open after a response where both ends agree. */
class OneSocketAgent extends Agent {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super({ keepAlive: true });
    this.#socket = socket;
  }

  /** What Node's client calls; everything else of the class is unused. */
  addRequest(request: ClientRequest): void {
    request.onSocket(this.#socket);
  }
}

export class H1Connection {
  readonly socket: Socket;
  /** What was dialled. */
  readonly address: string;
  /** When it was last given back, epoch `ms`. */
  idleSinceMs = 0;
  /** How long the upstream said that it keeps it, `ms`. */
  keepMs: number;
  readonly #agent: OneSocketAgent;
  readonly #limits: HttpLimits;
  #used = false;
  /** A response that nobody asked for would be taken for the answer to the next request. */
  #idle = true;
  #onFree: (() => void) | null = null;

  constructor(socket: Socket, address: string, limits: HttpLimits) {
    this.socket = socket;
    this.address = address;
    this.keepMs = limits.upstreamIdleMs;
    this.#limits = limits;
    this.#agent = new OneSocketAgent(socket);
    socket.setNoDelay(true);
    socket.on("error", () => undefined);
    socket.on("free", () => this.#free());
    // Added once: to listen anew after each response costs as much as a small one.
    socket.on("data", () => {
      if (this.#idle) socket.destroy();
    });
    socket.on("end", () => socket.destroy());
  }

  get usable(): boolean {
    return !this.socket.destroyed && this.socket.readable && this.socket.writable;
  }

  /** Whether a request has been carried before: the upstream may be closing it at this moment. */
  get used(): boolean {
    return this.#used;
  }

  /** @param onFree called when the next request can be carried; never, if the connection ends instead */
  call(options: CallOptions, authority: Authority, onFree: () => void): UpstreamCall {
    const stale = this.#used;
    this.#used = true;
    this.#onFree = onFree;
    this.#idle = false;
    try {
      return new H1Call(this, this.#agent, options, authority, this.#limits, stale);
    } catch (error) {
      this.socket.destroy();
      throw error;
    }
  }

  #free(): void {
    if (this.socket.destroyed) return;
    this.idleSinceMs = Date.now();
    this.#idle = true;
    const onFree = this.#onFree;
    this.#onFree = null;
    onFree?.();
  }
}

class H1Call implements UpstreamCall {
  readonly answer: Promise<UpstreamAnswer>;
  readonly sink: BodySink;
  readonly #request: ClientRequest;

  constructor(
    connection: H1Connection,
    agent: OneSocketAgent,
    options: CallOptions,
    authority: Authority,
    limits: HttpLimits,
    stale: boolean,
  ) {
    const { head } = options;
    const request = startRequest({
      agent,
      method: head.method,
      path: head.target,
      headers: requestLines(options, authority),
      maxHeaderSize: limits.responseHeadBytes,
      httpValidation: "strict",
    });
    request.maxHeadersCount = limits.fieldLines + 1;
    this.#request = request;
    watchInterim(request, options, limits);
    this.answer = new Promise((resolve, reject) => {
      let answered = false;
      request.once("response", (response) => {
        answered = true;
        try {
          const read = readAnswer(response, head.method, limits);
          noteKeepAlive(response, connection, limits);
          resolve(read);
        } catch (error) {
          request.destroy();
          reject(new CallError("failed", error instanceof Error ? error.message : String(error), error));
        }
      });
      request.on("error", (error: Error & { code?: string }) => {
        const lost = error.code === "ECONNRESET" || error.code === "EPIPE";
        reject(new CallError(stale && lost ? "stale" : "failed", describe(error), error));
      });
      request.once("close", () => {
        if (!answered) reject(new CallError("failed", WITHOUT_RESPONSE));
      });
    });
    if (options.expectContinue) request.flushHeaders();
    this.sink = options.hasBody && !options.expectContinue ? new PromptHead(request) : request;
  }

  finish(trailers: FieldLines): void {
    if (trailers.length > 0) this.#request.addTrailers(pairs(trailers));
    this.#request.end();
  }

  destroy(): void {
    this.#request.destroy();
  }
}

function requestLines({ head, hasBody, expectContinue }: CallOptions, authority: Authority): string[] {
  const raw = ["host", writeAuthority(authority)];
  let framed = false;
  const chunked = hasBody && declaredLength(head.fields) === null;
  for (const [name, value] of head.fields) {
    const key = name.toLowerCase();
    if (key === "content-length") framed = true;
    if (key === "trailer" && !chunked) continue; // Node refuses it where it cannot send trailers
    raw.push(name, value);
    if (key === "te") raw.push("connection", "TE");
  }
  if (chunked) raw.push("transfer-encoding", "chunked");
  else if (!framed && EXPECTS_BODY.has(head.method)) raw.push("content-length", "0");
  if (expectContinue) raw.push("expect", "100-continue");
  return raw;
}

export function watchInterim(
  request: ClientRequest,
  options: Pick<CallOptions, "onContinue" | "onInterim">,
  limits: HttpLimits,
): void {
  let left = limits.interimResponses;
  request.on("information", ({ statusCode, rawHeaders }) => {
    if (--left < 0)
      request.destroy(new Error(`the upstream sent more than ${limits.interimResponses} interim responses`));
    else if (statusCode === 100) options.onContinue();
    else options.onInterim(statusCode, endToEndLines(rawHeaders));
  });
}

/** @throws Error for a response that would not be passed on as it was meant */
export function readAnswer(response: IncomingMessage, method: string, limits: HttpLimits): UpstreamAnswer {
  const status = response.statusCode ?? 0;
  response.on("error", () => undefined);
  if (status < 200 || status > 999) throw new Error(`the upstream answered with the status ${status}`);
  if (response.rawHeaders.length > 2 * limits.fieldLines) {
    throw new Error(`the upstream's response has more than ${limits.fieldLines} header fields`);
  }
  const [coding, ...more] = rawValues(response.rawHeaders, "transfer-encoding");
  if (coding !== undefined && (more.length > 0 || coding.toLowerCase() !== "chunked")) {
    throw new Error("the upstream used a transfer coding that is not chunked");
  }
  const fields = endToEndLines(response.rawHeaders);
  declaredLength(fields);
  const hasBody = mayHaveBody(method, status);
  if (!hasBody) response.resume();
  return {
    head: { status, fields },
    body: hasBody ? response : null,
    trailers: () => trailerLines(response.rawTrailers),
  };
}

/** How long it says that it keeps the connection. */
function noteKeepAlive(response: IncomingMessage, connection: H1Connection, limits: HttpLimits): void {
  const [said] = rawValues(response.rawHeaders, "keep-alive");
  const keep = said === undefined ? undefined : /(?:^|,)\s*timeout=(\d{1,6})/i.exec(said)?.[1];
  if (keep !== undefined) connection.keepMs = Math.min(limits.upstreamIdleMs, (Number(keep) - 1) * 1000);
}

function describe(error: Error & { code?: string }): string {
  if (error.code === "HPE_HEADER_OVERFLOW") return "the upstream's response has too large a header";
  if (error.code?.startsWith("HPE_") === true) return `the upstream's response is not valid HTTP (${error.code})`;
  if (error.message === "socket hang up") return WITHOUT_RESPONSE;
  return error.message;
}
