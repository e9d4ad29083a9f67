/** The upstream's leg where it speaks HTTP/2: one session, many requests. What comes back is not trusted. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionOptions,
  connect,
  constants,
} from "node:http2";
import type { Socket } from "node:net";
import type { FieldLines } from "../http-heads.ts";
import { type Authority, writeAuthority } from "./authority.ts";
import { type BodySink, mayHaveBody } from "./exchange.ts";
import {
  asHeaderObject,
  declaredLength,
  endToEndLines,
  findBadLine,
  flatLines,
  textBytes,
  trailerLines,
} from "./fields.ts";
import { breakOff } from "./h2-streams.ts";
import type { HttpLimits } from "./limits.ts";
import { CallError, type CallOptions, type UpstreamAnswer, type UpstreamCall } from "./upstream-call.ts";

const END_STREAM = constants.NGHTTP2_FLAG_END_STREAM;
/** What one session may have on its way here, all streams together. */
const SESSION_WINDOW_BYTES = 8 * 1024 * 1024;
const SESSION_MEMORY_MB = 64;
/** Errors of Node that say that a request never left. */
const NEVER_SENT = new Set(["ERR_HTTP2_GOAWAY_SESSION", "ERR_HTTP2_INVALID_SESSION", "ERR_HTTP2_OUT_OF_STREAMS"]);

export interface SessionEvents {
  /** It can carry one request more than before. */
  onFree: () => void;
  onClose: () => void;
}

export class H2Connection {
  readonly session: ClientHttp2Session;
  readonly address: string;
  idleSinceMs = Date.now();
  readonly #limits: HttpLimits;
  readonly #authority: Authority;
  readonly #onFree: () => void;
  #active = 0;
  #leaving = false;

  constructor(socket: Socket, address: string, authority: Authority, limits: HttpLimits, events: SessionEvents) {
    this.address = address;
    this.#onFree = events.onFree;
    this.#limits = limits;
    this.#authority = authority;
    socket.setNoDelay(true);
    const options: ClientSessionOptions & { strictSingleValueFields: boolean } = {
      createConnection: () => socket,
      maxHeaderListPairs: limits.fieldLines,
      maxSessionMemory: SESSION_MEMORY_MB,
      maxSettings: 32,
      strictSingleValueFields: false, // the guest's request passes as it is
      settings: {
        enablePush: false,
        maxHeaderListSize: limits.responseHeadBytes,
        initialWindowSize: limits.streamWindowBytes,
      },
    };
    const session = connect(`${authority.scheme}://${writeAuthority(authority)}`, options);
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    session.on("error", () => undefined);
    session.once("goaway", () => {
      this.#leaving = true;
    });
    session.once("close", events.onClose);
    this.session = session;
  }

  /** Whether it can carry one more request without making it wait. */
  get open(): boolean {
    const most = this.session.remoteSettings.maxConcurrentStreams ?? this.#limits.streamsPerConnection;
    return this.usable && this.#active < Math.min(most, this.#limits.streamsPerConnection);
  }

  get usable(): boolean {
    return !this.#leaving && !this.session.closed && !this.session.destroyed;
  }

  get idle(): boolean {
    return this.#active === 0;
  }

  call(options: CallOptions): UpstreamCall {
    const call = new H2Call(this.session, options, this.#authority, this.#limits, () => {
      this.#active--;
      this.idleSinceMs = Date.now();
      this.#onFree();
    });
    this.#active++;
    return call;
  }
}

class H2Call implements UpstreamCall {
  readonly answer: Promise<UpstreamAnswer>;
  readonly #stream: ClientHttp2Stream;
  #trailers: FieldLines = [];
  #finished: boolean;

  constructor(
    session: ClientHttp2Session,
    options: CallOptions,
    authority: Authority,
    limits: HttpLimits,
    onClose: () => void,
  ) {
    const { head, hasBody } = options;
    const stream = session.request(requestLines(options, authority), { endStream: !hasBody, waitForTrailers: hasBody });
    this.#stream = stream;
    this.#finished = !hasBody;
    stream.once("close", onClose);
    stream.once("wantTrailers", () => {
      if (!stream.closed && !stream.destroyed) stream.sendTrailers(asHeaderObject(this.#trailers));
    });
    watchEnd(stream);
    watchInterim(stream, options, limits);
    this.answer = new Promise((resolve, reject) => {
      let answered = false;
      stream.once("response", (_headers, flags, raw) => {
        answered = true;
        try {
          resolve(readAnswer(stream, head.method, flags, raw, limits));
        } catch (error) {
          stream.destroy(error as Error);
          reject(new CallError("failed", error instanceof Error ? error.message : String(error), error));
        }
      });
      stream.on("error", (error: Error & { code?: string }) => {
        const refused =
          stream.rstCode === constants.NGHTTP2_REFUSED_STREAM ||
          (error.code !== undefined && NEVER_SENT.has(error.code));
        reject(new CallError(refused ? "refused" : "failed", error.message, error));
      });
      stream.once("close", () => {
        if (!answered) reject(new CallError("failed", "the upstream closed the stream without a response"));
      });
    });
  }

  get sink(): BodySink {
    return this.#stream;
  }

  finish(trailers: FieldLines): void {
    this.#finished = true;
    this.#trailers = trailers;
    this.#stream.end();
  }

  destroy(): void {
    if (this.#finished && this.#stream.readableEnded) return;
    breakOff(this.#stream);
  }
}

function requestLines({ head, expectContinue }: CallOptions, authority: Authority): string[] {
  const raw = [
    ":method",
    head.method,
    ":scheme",
    authority.scheme,
    ":authority",
    writeAuthority(authority),
    ":path",
    head.target,
    ...flatLines(head.fields, true),
  ];
  if (expectContinue) raw.push("expect", "100-continue");
  return raw;
}

function watchInterim(stream: ClientHttp2Stream, options: CallOptions, limits: HttpLimits): void {
  let left = limits.interimResponses;
  stream.on("headers", (_headers, _flags, raw) => {
    const status = Number(statusOf(raw));
    if (--left < 0) breakOff(stream);
    else if (status === 100) options.onContinue();
    else if (status >= 102 && status < 200) options.onInterim(status, endToEndLines(raw));
  });
}

function statusOf(raw: readonly string[]): string {
  const at = raw.indexOf(":status");
  return at < 0 ? "" : (raw[at + 1] ?? "");
}

/** @throws Error for a response that would not be passed on as it was meant */
function readAnswer(
  stream: ClientHttp2Stream,
  method: string,
  flags: number,
  raw: readonly string[],
  limits: HttpLimits,
): UpstreamAnswer {
  const status = Number(statusOf(raw));
  if (textBytes(raw) > limits.responseHeadBytes) throw new Error("the upstream's response has too large a header");
  if (!Number.isInteger(status) || status < 200 || status > 999) {
    throw new Error(`the upstream answered with the status ${status}`);
  }
  const fields = endToEndLines(raw);
  const bad = findBadLine(fields);
  if (bad !== null) throw new Error(`the upstream's response is not valid: ${bad}`);
  declaredLength(fields);
  let trailers: FieldLines = [];
  stream.once("trailers", (_trailers, _flags, lines: string[]) => {
    if (textBytes(lines) > limits.responseHeadBytes) breakOff(stream);
    else trailers = trailerLines(lines);
  });
  const hasBody = mayHaveBody(method, status) && (flags & END_STREAM) === 0;
  if (!hasBody) stream.resume();
  return { head: { status, fields }, body: hasBody ? stream : null, trailers: () => trailers };
}

/**
 * Node reports RST_STREAM with NO_ERROR as the end of the body. Only END_STREAM is that, and it comes before the stream
 * is closed.
 */
function watchEnd(stream: ClientHttp2Stream): void {
  let ended = false;
  const push = stream.push.bind(stream);
  stream.push = (chunk, encoding) => {
    if (chunk === null && !ended && stream.closed) {
      process.nextTick(() => stream.destroy(new Error("the upstream cut the response off")));
      return false;
    }
    ended ||= chunk === null;
    return push(chunk, encoding);
  };
}
