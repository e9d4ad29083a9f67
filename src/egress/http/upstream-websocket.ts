/** A WebSocket to an upstream, by a handshake of the host's own. What comes back is not trusted. */
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import WebSocket, { type ClientOptions } from "ws";
import type { FieldLines, RequestHead } from "../http-heads.ts";
import { writeAuthority } from "./authority.ts";
import { asHeaderObject, endToEndLines, fieldValues } from "./fields.ts";
import type { HttpLimits } from "./limits.ts";
import { watchInterim } from "./upstream-h1.ts";

export interface UpstreamWebSocket {
  /** Open and paused. */
  webSocket: WebSocket;
  /** The subprotocol that it chose, of those that the guest offered. */
  protocol: string | null;
  /** Of its 101, without those of the handshake. */
  fields: FieldLines;
}

/** Interim responses to a handshake go nowhere; only their number counts. */
const UNINTERESTING = { onContinue: () => undefined, onInterim: () => undefined };

/** It answered with something else than 101. */
export class UnexpectedResponse extends Error {
  override readonly name = "UnexpectedResponse";
  readonly response: IncomingMessage;
  readonly #request: ClientRequest;

  constructor(request: ClientRequest, response: IncomingMessage) {
    super(`the upstream answered with ${response.statusCode}`);
    this.response = response;
    this.#request = request;
  }

  destroy(): void {
    this.#request.destroy();
  }
}

/** @throws UnexpectedResponse, or Error after which the socket is the caller's to destroy */
export function openUpstreamWebSocket(
  socket: Socket,
  head: RequestHead,
  limits: HttpLimits,
  signal: AbortSignal,
): Promise<UpstreamWebSocket> {
  const offered = fieldValues(head.fields, "sec-websocket-protocol").flatMap((value) => value.split(","));
  const options: ClientOptions & { maxHeaderSize: number; httpValidation: "strict" } = {
    // Node sends one line for each of a list; the types of `ws` know single values only.
    createConnection: () => socket,
    headers: handshakeHeaders(head) as Record<string, string>,
    perMessageDeflate: false,
    followRedirects: false,
    autoPong: false,
    maxPayload: limits.webSocketMessageBytes,
    maxHeaderSize: limits.responseHeadBytes,
    httpValidation: "strict",
    handshakeTimeout: limits.firstByteMs,
    finishRequest: (request) => {
      // As the guest wrote it: a URL would be normalised on its way through.
      request.path = head.target;
      request.maxHeadersCount = limits.fieldLines + 1;
      watchInterim(request, UNINTERESTING, limits);
      request.end();
    },
  };
  return new Promise((resolve, reject) => {
    const webSocket = new WebSocket(`ws://${writeAuthority({ ...head, scheme: "http" })}/`, options);
    const abort = (): void => {
      webSocket.terminate();
    };
    signal.addEventListener("abort", abort, { once: true });
    webSocket.on("error", (error) => {
      signal.removeEventListener("abort", abort);
      reject(error);
    });
    webSocket.once("unexpected-response", (request, response) => {
      signal.removeEventListener("abort", abort);
      response.on("error", () => undefined);
      reject(new UnexpectedResponse(request, response));
    });
    let accepted: IncomingMessage | null = null;
    let protocol: string | null = null;
    webSocket.once("upgrade", (response) => {
      accepted = response;
      protocol = response.headers["sec-websocket-protocol"] ?? null;
      // `ws` insists on an answer to an offer, which the RFC does not; it was told of none, and the choice is checked here.
      delete response.headers["sec-websocket-protocol"];
      const wrong = findWrong(response, limits, protocol, offered);
      if (wrong === null) return;
      reject(new Error(wrong));
      webSocket.terminate();
    });
    webSocket.once("open", () => {
      signal.removeEventListener("abort", abort);
      webSocket.pause();
      resolve({ webSocket, protocol, fields: accepted === null ? [] : ownFields(accepted) });
    });
  });
}

function handshakeHeaders(head: RequestHead): Record<string, string | string[]> {
  const kept = head.fields.filter(([name]) => {
    const key = name.toLowerCase();
    return key === "sec-websocket-protocol" || !(key.startsWith("sec-websocket-") || key === "content-length");
  });
  return { ...asHeaderObject(kept), host: writeAuthority(head) };
}

function findWrong(
  { rawHeaders }: IncomingMessage,
  limits: HttpLimits,
  protocol: string | null,
  offered: readonly string[],
): string | null {
  if (rawHeaders.length > 2 * limits.fieldLines) {
    return `the upstream's response has more than ${limits.fieldLines} header fields`;
  }
  if (protocol !== null && !offered.some((name) => name.trim() === protocol)) {
    return "the upstream chose a subprotocol that was not offered";
  }
  return null;
}

function ownFields(response: IncomingMessage): FieldLines {
  return endToEndLines(response.rawHeaders).filter(([name]) => !/^(?:sec-websocket-|content-length$)/i.test(name));
}
