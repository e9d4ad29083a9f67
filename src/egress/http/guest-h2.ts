/**
 * The guest's leg where it speaks HTTP/2: one session a connection. The guest is hostile; nghttp2 refuses what is malformed
 * (RFC 9113, 8.1.1), and whatever could mean something else in HTTP/1.1 is looked at again here.
 */
import { constants, performServerHandshake, type ServerHttp2Stream } from "node:http2";
import type { Duplex, Readable } from "node:stream";
import type { FieldLines, HttpVersion, RequestHead, ResponseHead } from "../http-heads.ts";
import { checkAuthority, checkMethod, readTarget } from "./authority.ts";
import { type BodySink, type Carrier, GONE, type GuestExchange } from "./exchange.ts";
import {
  asHeaderObject,
  declaredLength,
  endToEndLines,
  findBadLine,
  flatLines,
  rawValues,
  textBytes,
  trailerLines,
} from "./fields.ts";
import type { GuestConnection } from "./guest-connections.ts";
import type { ResponseBytes, SeenRequest } from "./guest-h1.ts";
import { breakOff, refuseRest } from "./h2-streams.ts";
import type { HttpLimits } from "./limits.ts";
import { Refusal } from "./refusal.ts";

export interface H2Events {
  /** Settles when the exchange is over; never rejects. */
  exchange(exchange: GuestExchange): Promise<void>;
  refused(connection: GuestConnection, refusal: Refusal, seen: SeenRequest | null): ResponseBytes;
}

const END_STREAM = constants.NGHTTP2_FLAG_END_STREAM;
/** What a session may take of the connection's window: all streams together. */
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024;
const SESSION_MEMORY_MB = 64;

/** @param stream decrypted, where the guest's connection is TLS */
export function serveH2(stream: Duplex, connection: GuestConnection, limits: HttpLimits, events: H2Events): void {
  const session = performServerHandshake(stream, {
    maxHeaderListPairs: limits.fieldLines,
    maxSessionMemory: SESSION_MEMORY_MB,
    maxSettings: 32,
    strictSingleValueFields: false, // an upstream's response passes as it is
    settings: {
      enablePush: false,
      enableConnectProtocol: false,
      maxConcurrentStreams: limits.streamsPerConnection,
      maxHeaderListSize: limits.requestHeadBytes,
      initialWindowSize: limits.streamWindowBytes,
    },
  });
  session.setLocalWindowSize(SESSION_WINDOW_BYTES);
  session.on("error", () => stream.destroy());
  session.on("close", () => stream.destroy());
  session.on("stream", (h2, _headers, flags, raw) => {
    h2.on("error", () => undefined);
    const done = connection.begin();
    h2.once("close", done);
    let exchange: H2Exchange;
    try {
      const head = readHead(raw, connection, limits);
      exchange = new H2Exchange(h2, connection, head, (flags & END_STREAM) === 0, raw, limits);
    } catch (error) {
      refuse(h2, events.refused(connection, asRefusal(error), seenRequest(raw)));
      return;
    }
    void events.exchange(exchange);
  });
}

function refuse(stream: ServerHttp2Stream, { status, fields, body }: ResponseBytes): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond([":status", String(status), ...flatLines(fields, true)]);
  stream.end(body);
  setImmediate(refuseRest, stream);
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Refusal(400, "bad_request", message, { cause: error });
}

function pseudoHeaders(raw: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? "";
    if (name.startsWith(":")) found.set(name, raw[index + 1] ?? "");
  }
  return found;
}

function seenRequest(raw: readonly string[]): SeenRequest {
  const pseudo = pseudoHeaders(raw);
  return { method: pseudo.get(":method") ?? "", target: pseudo.get(":path") ?? "" };
}

/** @throws Refusal */
function readHead(raw: readonly string[], connection: GuestConnection, limits: HttpLimits): RequestHead {
  const { authority } = connection;
  if (textBytes(raw) > limits.requestHeadBytes) {
    throw new Refusal(431, "bad_request", `the request's header has more than ${limits.requestHeadBytes} bytes`);
  }
  const pseudo = pseudoHeaders(raw);
  const method = pseudo.get(":method") ?? "";
  checkMethod(method);
  if (pseudo.get(":scheme") !== authority.scheme) {
    throw new Refusal(421, "misdirected_request", `this connection is for ${authority.scheme} requests`);
  }
  const named = rawValues(raw, "host");
  const own = pseudo.get(":authority");
  if (own !== undefined) named.push(own);
  if (named.length === 0) throw new Refusal(400, "bad_request", "the request has no :authority");
  for (const text of named) checkAuthority(text, authority);
  const path = pseudo.get(":path") ?? "";
  if (!path.startsWith("/") && path !== "*") throw new Refusal(400, "bad_request", "the request's :path is not a path");
  const target = readTarget(path, method, authority);
  const fields = endToEndLines(raw);
  const bad = findBadLine(fields);
  if (bad !== null) throw new Refusal(400, "bad_request", bad);
  declaredLength(fields);
  return { method, scheme: authority.scheme, host: authority.host, port: authority.port, target, fields };
}

class H2Exchange implements GuestExchange {
  readonly version: HttpVersion = "2";
  readonly carrier: Carrier;
  readonly head: RequestHead;
  readonly body: Readable | null;
  readonly awaitsContinue: boolean;
  readonly #stream: ServerHttp2Stream;
  readonly #gone = new AbortController();
  #trailers: FieldLines = [];
  #outgoingTrailers: FieldLines = [];
  #continued = false;

  constructor(
    stream: ServerHttp2Stream,
    carrier: Carrier,
    head: RequestHead,
    hasBody: boolean,
    raw: readonly string[],
    limits: HttpLimits,
  ) {
    this.#stream = stream;
    this.carrier = carrier;
    this.head = head;
    this.body = hasBody ? stream : null;
    this.awaitsContinue = hasBody && rawValues(raw, "expect")[0]?.toLowerCase() === "100-continue";
    const gone = (): void => {
      this.#gone.abort(GONE);
    };
    stream.once("aborted", gone).once("close", gone);
    stream.once("trailers", (_trailers, _flags, lines: string[]) => {
      if (textBytes(lines) > limits.requestHeadBytes) breakOff(stream);
      else this.#trailers = trailerLines(lines);
    });
    stream.once("wantTrailers", () => {
      this.#sendTrailers();
    });
    if (!hasBody) stream.resume();
    if (stream.destroyed) gone();
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get responded(): boolean {
    return this.#stream.headersSent;
  }

  trailers(): FieldLines {
    return this.#trailers;
  }

  sendContinue(): void {
    if (!this.#continued) this.sendInterim(100, []);
    this.#continued = true;
  }

  sendInterim(status: number, fields: FieldLines): void {
    if (this.#stream.destroyed || this.#stream.closed || this.#stream.headersSent) return;
    this.#stream.additionalHeaders({ ":status": status, ...asHeaderObject(fields) });
  }

  respond(head: ResponseHead, hasBody: boolean): BodySink {
    const raw = [":status", String(head.status), ...flatLines(head.fields, true)];
    const options = { endStream: !hasBody, waitForTrailers: hasBody, sendDate: false };
    this.#stream.respond(raw, options);
    if (!hasBody) setImmediate(refuseRest, this.#stream);
    return this.#stream;
  }

  finish(trailers: FieldLines): void {
    this.#outgoingTrailers = trailers;
    this.#stream.end();
  }

  abort(): void {
    breakOff(this.#stream);
  }

  #sendTrailers(): void {
    if (this.#stream.destroyed || this.#stream.closed) return;
    this.#stream.sendTrailers(asHeaderObject(this.#outgoingTrailers));
    // Node sends them in its own setImmediate.
    setImmediate(refuseRest, this.#stream);
  }
}
