/**
 * The guest's leg where it speaks HTTP/1.x: Node's server on flows that were opened elsewhere. The guest is hostile. What
 * Node's parser accepts is checked again where it is more lenient than what an upstream may be sent.
 */
import { createServer, type IncomingMessage, type Server, ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex, Readable } from "node:stream";
import type { FieldLines, HttpVersion, RequestHead, ResponseHead } from "../http-heads.ts";
import { type Authority, checkAuthority, checkMethod, readTarget } from "./authority.ts";
import { type BodySink, type Carrier, GONE, type GuestExchange, mayHaveBody } from "./exchange.ts";
import { declaredLength, endToEndLines, flatLines, pairs, rawValues, trailerLines } from "./fields.ts";
import type { GuestConnection } from "./guest-connections.ts";
import { HeldBytes, rawHeadBytes } from "./held-bytes.ts";
import type { HttpLimits } from "./limits.ts";
import { PromptHead } from "./prompt-head.ts";
import { discard } from "./pump.ts";
import { Refusal } from "./refusal.ts";

/** What Node reads of a body that nobody reads. Two do not wait on one connection then, as no client needs. */
const WAITING_BODY_BYTES = 64 * 1024;

export interface H1Events {
  /** Settles when the exchange is over; never rejects. */
  exchange(exchange: GuestExchange): Promise<void>;
  /** Something that never became an exchange; what is returned goes to the guest, and the connection ends. */
  refused(connection: GuestConnection, refusal: Refusal, seen: SeenRequest | null): ResponseBytes;
  webSocket(upgrade: WebSocketUpgrade): void;
}

/** What a request that is refused can be named by. */
export interface SeenRequest {
  method: string;
  target: string;
}

export interface ResponseBytes {
  status: number;
  fields: FieldLines;
  body: Buffer;
}

export interface WebSocketUpgrade {
  connection: GuestConnection;
  head: RequestHead;
  request: IncomingMessage;
  socket: Duplex;
  /** What the guest sent after its handshake. */
  rest: Buffer;
}

interface Waiting {
  request: IncomingMessage;
  response: ServerResponse;
  expects: "nothing" | "continue" | "other";
  /** What it is counted with while it waits. */
  bytes: number;
}

/** Requests of one connection, answered one after the other, in the order in which they came. */
interface Line {
  connection: GuestConnection;
  waiting: Waiting[];
  waitingBytes: number;
  running: boolean;
}

export class GuestH1 {
  readonly #server: Server;
  readonly #lines = new WeakMap<Duplex, Line>();
  readonly #limits: HttpLimits;
  readonly #held: HeldBytes;
  readonly #events: H1Events;

  constructor(limits: HttpLimits, events: H1Events) {
    this.#limits = limits;
    this.#held = new HeldBytes(limits.pipelinedBytes);
    this.#events = events;
    const server = createServer({
      maxHeaderSize: limits.requestHeadBytes,
      requestTimeout: 0,
      headersTimeout: 0,
      keepAliveTimeout: 0,
      optimizeEmptyRequests: true, // those without a body, of which nothing is read
      requireHostHeader: false, // checked with everything else
      httpValidation: "strict",
      shouldUpgradeCallback: isWebSocketUpgrade,
    });
    server.maxHeadersCount = limits.fieldLines + 1;
    server.on("request", (request, response) => this.#enqueue(request, response, "nothing"));
    server.on("checkContinue", (request, response) => this.#enqueue(request, response, "continue"));
    server.on("checkExpectation", (request, response) => this.#enqueue(request, response, "other"));
    server.on("upgrade", (request, socket, rest) => this.#upgrade(request, socket, rest));
    server.on("connect", (request, socket) => this.#connect(request, socket));
    server.on("clientError", (error, socket) => this.#unreadable(error, socket));
    this.#server = server;
  }

  /** @param stream decrypted, where the guest's connection is TLS */
  serve(stream: Duplex, connection: GuestConnection): void {
    this.#lines.set(stream, { connection, waiting: [], waitingBytes: 0, running: false });
    this.#server.emit("connection", stream);
  }

  #enqueue(request: IncomingMessage, response: ServerResponse, expects: Waiting["expects"]): void {
    const line = this.#lines.get(request.socket);
    const bytes = line?.running === true ? waitingBytes(request) : 0;
    if (line === undefined || (line.running && !this.#mayWait(line, bytes))) {
      request.socket.destroy();
      return;
    }
    const entry = { request, response, expects, bytes };
    line.waiting.push(entry);
    if (!line.running) void this.#run(line);
  }

  /** Makes room for one more that waits. */
  #mayWait(line: Line, bytes: number): boolean {
    const { pipelined, requestHeadBytes } = this.#limits;
    if (line.waiting.length >= pipelined) return false;
    if (line.waiting.length > 0 && line.waitingBytes + bytes > 2 * requestHeadBytes) return false;
    if (!this.#held.tryAdd(bytes)) return false;
    line.waitingBytes += bytes;
    return true;
  }

  async #run(line: Line): Promise<void> {
    line.running = true;
    for (let entry = line.waiting.shift(); entry !== undefined; entry = line.waiting.shift()) {
      line.waitingBytes -= entry.bytes;
      this.#held.add(-entry.bytes);
      // What was pipelined behind a response that closed the connection was not asked for (RFC 9112, 9.6).
      if (entry.request.socket.destroyed || !entry.request.socket.writable) break;
      const done = line.connection.begin();
      const goesOn = await this.#answer(entry, line.connection);
      done();
      if (!goesOn) break;
    }
    this.#held.add(-line.waitingBytes);
    line.waiting = [];
    line.waitingBytes = 0;
    line.running = false;
  }

  /** @returns whether the connection can be used on */
  async #answer({ request, response, expects }: Waiting, connection: GuestConnection): Promise<boolean> {
    let exchange: H1Exchange;
    try {
      if (expects === "other") throw new Refusal(417, "unsupported", "only 100-continue can be expected");
      exchange = openExchange(request, response, connection, expects === "continue", this.#limits);
    } catch (error) {
      this.#refuse(response, connection, asRefusal(error), { method: request.method ?? "", target: request.url ?? "" });
      return false;
    }
    await this.#events.exchange(exchange);
    await exchange.ended;
    return exchange.reusable;
  }

  #refuse(response: ServerResponse, connection: GuestConnection, refusal: Refusal, seen: SeenRequest): void {
    const { status, fields, body } = this.#events.refused(connection, refusal, seen);
    response.writeHead(status, [...flatLines(fields, false), "connection", "close"]);
    response.end(response.req.method === "HEAD" ? undefined : body);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, rest: Buffer): void {
    const line = this.#lines.get(socket);
    socket.on("error", () => undefined);
    if (line === undefined || line.running) {
      // Pipelined behind a request that is still being answered: its answer would mix with the new protocol.
      socket.destroy();
      return;
    }
    const { connection } = line;
    try {
      const head = readHead(request, connection.authority, this.#limits);
      this.#events.webSocket({ connection, head, request, socket, rest });
    } catch (error) {
      const seen = { method: request.method ?? "", target: request.url ?? "" };
      writeAnswer(socket, this.#events.refused(connection, asRefusal(error), seen));
    }
  }

  #connect(request: IncomingMessage, socket: Duplex): void {
    const line = this.#lines.get(socket);
    socket.on("error", () => undefined);
    if (line === undefined || line.running) {
      socket.destroy();
      return;
    }
    const refusal = new Refusal(405, "unsupported", "CONNECT is not answered here: connect to the host itself");
    const seen = { method: "CONNECT", target: request.url ?? "" };
    writeAnswer(socket, this.#events.refused(line.connection, refusal, seen));
  }

  #unreadable(error: Error & { code?: string }, socket: Duplex): void {
    const line = this.#lines.get(socket);
    socket.on("error", () => undefined);
    if (line === undefined || line.running || !socket.writable || error.code?.startsWith("HPE_") !== true) {
      socket.destroy();
      return;
    }
    const refusal =
      error.code === "HPE_HEADER_OVERFLOW"
        ? new Refusal(431, "bad_request", `the request's header has more than ${this.#limits.requestHeadBytes} bytes`)
        : new Refusal(400, "bad_request", `the request is not valid HTTP (${error.code})`);
    writeAnswer(socket, this.#events.refused(line.connection, refusal, null));
  }
}

function waitingBytes(request: IncomingMessage): number {
  const { url = "", rawHeaders } = request;
  return rawHeadBytes(url, rawHeaders) + (announcesBody(request) ? WAITING_BODY_BYTES : 0);
}

/** Other upgrades are answered as requests: `h2c` is ignored, as the client allows, and the rest is refused. */
function isWebSocketUpgrade(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === "websocket" && !announcesBody(request);
}

function announcesBody(request: IncomingMessage): boolean {
  const length = request.headers["content-length"];
  return request.headers["transfer-encoding"] !== undefined || (length !== undefined && Number(length) !== 0);
}

/** Writes a response where Node has no ServerResponse (any more), and ends the connection. */
export function writeAnswer(socket: Duplex, { status, fields, body }: ResponseBytes): void {
  writeHead(socket, status, fields);
  socket.end(body);
}

/** @param fields found to have nothing that may not be sent */
export function writeHead(socket: Duplex, status: number, fields: FieldLines): void {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const reason = STATUS_CODES[status] ?? "";
  socket.write(`HTTP/1.1 ${status} ${reason}\r\n${lines}connection: close\r\n\r\n`, "latin1");
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Refusal(400, "bad_request", message, { cause: error });
}

/** @throws Refusal */
function readHead(request: IncomingMessage, authority: Authority, limits: HttpLimits): RequestHead {
  const raw = request.rawHeaders;
  const method = request.method ?? "";
  if (raw.length > 2 * limits.fieldLines) {
    throw new Refusal(431, "bad_request", `the request has more than ${limits.fieldLines} header fields`);
  }
  checkMethod(method);
  const [host, ...more] = rawValues(raw, "host");
  if (host === undefined || more.length > 0) {
    throw new Refusal(400, "bad_request", "the request must have exactly one Host field");
  }
  checkAuthority(host, authority);
  const target = readTarget(request.url ?? "", method, authority);
  const { scheme, host: name, port } = authority;
  return { method, scheme, host: name, port, target, fields: endToEndLines(raw) };
}

/** @throws Refusal */
function openExchange(
  request: IncomingMessage,
  response: ServerResponse,
  carrier: Carrier,
  awaitsContinue: boolean,
  limits: HttpLimits,
): H1Exchange {
  const head = readHead(request, carrier.authority, limits);
  const coding = request.headers["transfer-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "chunked") {
    throw new Refusal(501, "unsupported", "no transfer coding but chunked is understood");
  }
  if (coding !== undefined && request.httpVersionMinor === 0) {
    throw new Refusal(400, "bad_request", "HTTP/1.0 has no transfer codings");
  }
  const upgrade = request.headers.upgrade;
  if (upgrade !== undefined && upgrade.toLowerCase() !== "h2c") {
    throw new Refusal(501, "unsupported", "only an upgrade to websocket, by a request without a body, is possible");
  }
  declaredLength(head.fields);
  return new H1Exchange(request, response, carrier, head, awaitsContinue, limits);
}

/**
 * A handshake that becomes no WebSocket, as a request like any other; the connection ends with its response. Node's server
 * let go of the connection when it saw the handshake, so that the response is put on it by hand.
 */
export function openHandshake(
  { request, socket, connection, head }: WebSocketUpgrade,
  limits: HttpLimits,
): GuestExchange {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  // Whatever stream the server was given; its types only know of sockets.
  (response as { assignSocket(stream: Duplex): void }).assignSocket(socket);
  socket.on("drain", () => response.emit("drain"));
  response.once("finish", () => {
    socket.end();
    // Its end is waited for, as an early reset would take the response along; but not for ever.
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), limits.lingerMs).unref();
    socket.once("close", () => clearTimeout(timer));
  });
  return new H1Exchange(request, response, connection, head, false, limits);
}

class H1Exchange implements GuestExchange {
  readonly version: HttpVersion;
  readonly carrier: Carrier;
  readonly head: RequestHead;
  readonly body: Readable | null;
  readonly awaitsContinue: boolean;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #gone = new AbortController();
  readonly #limits: HttpLimits;
  #continued = false;
  /** Settles when the response is written and nothing of the request is left. */
  ended: Promise<void> = Promise.resolve();

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    carrier: Carrier,
    head: RequestHead,
    awaitsContinue: boolean,
    limits: HttpLimits,
  ) {
    this.#request = request;
    this.#response = response;
    this.#limits = limits;
    this.carrier = carrier;
    this.head = head;
    this.version = request.httpVersionMinor === 0 ? "1.0" : "1.1";
    this.body = announcesBody(request) ? request : null;
    this.awaitsContinue = awaitsContinue && this.body !== null;
    response.once("close", () => {
      if (!response.writableFinished) this.#gone.abort(GONE);
    });
    response.on("error", () => undefined);
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get responded(): boolean {
    return this.#response.headersSent;
  }

  /** Whether the next request on this connection begins where this one ended. */
  get reusable(): boolean {
    return this.#response.writableEnded && this.#response.shouldKeepAlive && !this.#request.socket.destroyed;
  }

  trailers(): FieldLines {
    return trailerLines(this.#request.rawTrailers);
  }

  sendContinue(): void {
    if (this.#response.headersSent || this.#continued) return;
    this.#continued = true;
    this.#response.writeContinue();
  }

  /** Many HTTP/1.1 clients take an interim response for the final one. */
  sendInterim(): void {
    return;
  }

  respond(head: ResponseHead, hasBody: boolean): BodySink {
    const response = this.#response;
    const chunked = hasBody && this.version !== "1.0" && !head.fields.some(isContentLength);
    const raw: string[] = [];
    for (const [name, value] of head.fields) if (chunked || name.toLowerCase() !== "trailer") raw.push(name, value);
    if (chunked) raw.push("transfer-encoding", "chunked");
    else if (!hasBody && mayHaveBody(this.head.method, head.status) && !head.fields.some(isContentLength)) {
      raw.push("content-length", "0");
    }
    response.sendDate = false;
    response.writeHead(head.status, raw);
    return hasBody ? new PromptHead(response) : response;
  }

  finish(trailers: FieldLines): void {
    if (trailers.length > 0) this.#response.addTrailers(pairs(trailers));
    const rest = this.body;
    if (rest === null || rest.readableEnded || (this.awaitsContinue && !this.#continued)) this.#response.end();
    else this.ended = this.#discardRest(rest);
  }

  /**
   * The guest is still sending what nobody wants. To close on it would reset the connection, and with it the response that
   * the guest has not read yet (RFC 9112, 9.6): so where Node closes at the response's end, that waits. Where the
   * connection goes on the response is complete at once, for a guest that reads it before it sends the rest.
   */
  async #discardRest(rest: Readable): Promise<void> {
    const response = this.#response;
    const goesOn = response.shouldKeepAlive;
    if (goesOn) response.end();
    const all = await discard(rest, this.#limits.lingerBytes, this.#limits.lingerMs);
    if (!goesOn) response.end();
    if (all) return;
    const close = (): void => {
      this.#request.socket.destroy();
    };
    if (response.writableFinished) close();
    else response.once("finish", close);
  }

  abort(): void {
    this.#request.socket.destroy();
  }
}

function isContentLength(line: readonly [string, string]): boolean {
  return line[0].toLowerCase() === "content-length";
}
