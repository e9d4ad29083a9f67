/**
 * WebSockets, message by message: the guest's handshake is answered only after the upstream has accepted one, and between
 * the two whole messages pass, with secrets put in one way and taken out the other. permessage-deflate is refused on both
 * legs (it is not offered upstream, and not accepted from the guest), so that no message is larger here than on the wire.
 */
import type { IncomingMessage } from "node:http";
import { WebSocketServer } from "ws";
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";
import { type Admission, admit } from "./admit.ts";
import { answerFailure, answerGuest, asRefusal, bringBack } from "./answer-guest.ts";
import type { CarryContext } from "./carry.ts";
import type { GuestExchange } from "./exchange.ts";
import { fieldValues, findBadLine, withoutField } from "./fields.ts";
import { openHandshake, type WebSocketUpgrade } from "./guest-h1.ts";
import { HeldBytes } from "./held-bytes.ts";
import { Refusal } from "./refusal.ts";
import { RequestRecord } from "./request-record.ts";
import { readAnswer } from "./upstream-h1.ts";
import { openUpstreamWebSocket, UnexpectedResponse } from "./upstream-websocket.ts";
import { relayMessages } from "./websocket-messages.ts";

/** RFC 6455, 4.2.1: 16 bytes in base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;

const PROTOCOL = "sec-websocket-protocol";

type Forward = Extract<Admission, { kind: "forward" }>;

/** What the guest's 101 is made of. */
interface GuestAnswer {
  protocol: string | null;
  fields: FieldLines;
}

export class WebSocketRelay {
  readonly #context: CarryContext;
  readonly #server: WebSocketServer;
  readonly #answers = new WeakMap<IncomingMessage, GuestAnswer>();
  readonly #held: HeldBytes;
  #open = 0;

  constructor(context: CarryContext) {
    this.#context = context;
    this.#held = new HeldBytes(context.limits.webSocketBytes);
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      autoPong: false,
      maxPayload: context.limits.webSocketMessageBytes,
      handleProtocols: (_offered, request) => this.#answers.get(request)?.protocol ?? false,
    });
    this.#server.on("headers", (lines, request) => {
      for (const [name, value] of this.#answers.get(request)?.fields ?? []) lines.push(`${name}: ${value}`);
    });
  }

  /** Takes the connection over; never throws. */
  accept(upgrade: WebSocketUpgrade): void {
    const { connection, head, socket } = upgrade;
    const record = new RequestRecord(this.#context, connection.facts, connection.authority, head.method, head.target);
    const done = connection.begin();
    this.#open++;
    const gone = new AbortController();
    socket.once("close", () => {
      gone.abort();
      this.#open--;
      done();
    });
    this.#connect(upgrade, record, gone.signal).catch((error: unknown) => {
      this.#refuse(upgrade, record, error, gone.signal);
    });
  }

  async #connect(upgrade: WebSocketUpgrade, record: RequestRecord, signal: AbortSignal): Promise<void> {
    const { head } = upgrade;
    checkHandshake(head);
    if (this.#open > this.#context.limits.webSockets) {
      throw new Refusal(503, "overloaded", `more than ${this.#context.limits.webSockets} WebSockets are open`);
    }
    const admission = await admit(this.#context, head, null, record, { number: upgrade.connection.facts.flow, signal });
    if (admission.kind === "respond") {
      await this.#answer(upgrade, record, signal, (exchange) =>
        answerGuest(exchange, record, admission.head, admission.body, () => []),
      );
      return;
    }
    const { address, socket: upstreamSocket } = await this.#context.pool.openSocket(admission.outgoing.head, signal);
    record.address = address;
    try {
      const upstream = await openUpstreamWebSocket(
        upstreamSocket,
        admission.outgoing.head,
        this.#context.limits,
        signal,
      );
      this.#join(upgrade, upstream, admission, record);
    } catch (error) {
      if (!(error instanceof UnexpectedResponse)) {
        upstreamSocket.destroy();
        throw error;
      }
      await this.#passOn(upgrade, error, admission, record, signal);
    }
  }

  #join(
    { request, socket, rest }: WebSocketUpgrade,
    upstream: Awaited<ReturnType<typeof openUpstreamWebSocket>>,
    { head, outgoing }: Forward,
    record: RequestRecord,
  ): void {
    // A client may have its secret in the list of subprotocols, where it can give nothing else, and the choice repeats it.
    const chosen: FieldLines = upstream.protocol === null ? [] : [[PROTOCOL, upstream.protocol]];
    const received: ResponseHead = { status: 101, fields: [...upstream.fields, ...chosen] };
    const incoming = this.#context.secrets.openResponse(head, received);
    const { fields } = incoming.head;
    if (findBadLine(fields) !== null || socket.destroyed) {
      upstream.webSocket.terminate();
      throw new Refusal(502, "upstream_failed", "the upstream's handshake cannot be passed on");
    }
    const [protocol = null] = fieldValues(fields, PROTOCOL);
    this.#answers.set(request, { protocol, fields: withoutField(fields, PROTOCOL) });
    record.status = 101;
    this.#server.handleUpgrade(request, socket, rest, (guest) => {
      this.#answers.delete(request);
      relayMessages({ guest, upstream: upstream.webSocket, outgoing, incoming, record, held: this.#held });
    });
    // The server answers a handshake that it does not like by itself; the upstream must not wait for it.
    if (this.#answers.has(request)) upstream.webSocket.terminate();
  }

  /** The upstream did not want a WebSocket, and says why. */
  async #passOn(
    upgrade: WebSocketUpgrade,
    refused: UnexpectedResponse,
    { head }: Forward,
    record: RequestRecord,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.#answer(upgrade, record, signal, (exchange) => {
        const answer = readAnswer(refused.response, head.method, this.#context.limits);
        return bringBack(this.#context, exchange, record, head, answer);
      });
    } finally {
      refused.destroy();
    }
  }

  /** Answers the handshake as any request; never rejects. */
  async #answer(
    upgrade: WebSocketUpgrade,
    record: RequestRecord,
    signal: AbortSignal,
    respond: (exchange: GuestExchange) => Promise<void>,
  ): Promise<void> {
    if (signal.aborted) {
      record.failed("the client gave up");
      record.write();
      return;
    }
    const exchange = openHandshake(upgrade, this.#context.limits);
    try {
      await respond(exchange);
    } catch (error) {
      answerFailure(this.#context, exchange, record, error);
    } finally {
      record.write();
    }
  }

  #refuse(upgrade: WebSocketUpgrade, record: RequestRecord, error: unknown, signal: AbortSignal): void {
    if (record.status === null) {
      void this.#answer(upgrade, record, signal, () => {
        throw error;
      });
      return;
    }
    record.failed(signal.aborted ? "the client gave up" : asRefusal(error).message);
    record.write();
    upgrade.socket.destroy();
  }
}

/** @throws Refusal */
function checkHandshake({ method, fields }: RequestHead): void {
  if (method !== "GET") throw new Refusal(405, "unsupported", "a WebSocket is opened with GET");
  if (fieldValues(fields, "sec-websocket-version").join() !== "13") {
    throw new Refusal(426, "unsupported", "only version 13 of the WebSocket protocol is understood");
  }
  const keys = fieldValues(fields, "sec-websocket-key");
  if (keys.length !== 1 || !KEY.test(keys[0] ?? "")) {
    throw new Refusal(400, "bad_request", "the request has no valid Sec-WebSocket-Key");
  }
}
