/**
 * WebSockets, message by message: the guest's handshake is answered only after the upstream has accepted one, and between
 * the two whole messages pass, with secrets put in one way and taken out the other. permessage-deflate is refused on both
 * legs (it is not offered upstream, and not accepted from the guest), so that no message is larger here than on the wire.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";
import { type IncomingSecrets, LeakError } from "../secrets/secrets.ts";
import { type Admission, admit } from "./admit.ts";
import type { CarryContext } from "./carry.ts";
import { mayHaveBody } from "./exchange.ts";
import { declaredLength, endToEndLines, fieldValues, findBadLine } from "./fields.ts";
import { type WebSocketUpgrade, writeAnswer, writeHead } from "./guest-h1.ts";
import { pump, through } from "./pump.ts";
import { leakRefusal, Refusal, refusalAnswer, upstreamRefusal } from "./refusal.ts";
import { RequestRecord } from "./request-record.ts";
import { openUpstreamWebSocket, UnexpectedResponse } from "./upstream-websocket.ts";
import { PartialMessages, relayMessages } from "./websocket-messages.ts";

/** RFC 6455, 4.2.1: 16 bytes in base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;

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
  readonly #partial: PartialMessages;
  #open = 0;

  constructor(context: CarryContext) {
    this.#context = context;
    this.#partial = new PartialMessages(context.limits.webSocketPartialBytes);
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
      this.#refuse(socket, record, error, gone.signal);
    });
  }

  async #connect(upgrade: WebSocketUpgrade, record: RequestRecord, signal: AbortSignal): Promise<void> {
    const { head, socket } = upgrade;
    checkHandshake(head);
    if (this.#open > this.#context.limits.webSockets) {
      throw new Refusal(503, "overloaded", `more than ${this.#context.limits.webSockets} WebSockets are open`);
    }
    const admission = await admit(this.#context, head, null, record, { number: upgrade.connection.facts.flow, signal });
    if (admission.kind === "respond") {
      await sendResponse(socket, head.method, admission.head, admission.body, record);
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
      await this.#passOn(socket, error, admission, record);
    }
  }

  #join(
    { request, socket, rest }: WebSocketUpgrade,
    upstream: Awaited<ReturnType<typeof openUpstreamWebSocket>>,
    { head, outgoing }: Forward,
    record: RequestRecord,
  ): void {
    const incoming = this.#context.secrets.openResponse(head, { status: 101, fields: upstream.fields });
    const fields = incoming.head.fields;
    if (findBadLine(fields) !== null || socket.destroyed) {
      upstream.webSocket.terminate();
      throw new Refusal(502, "upstream_failed", "the upstream's handshake cannot be passed on");
    }
    this.#answers.set(request, { protocol: upstream.protocol, fields });
    record.status = 101;
    this.#server.handleUpgrade(request, socket, rest, (guest) => {
      this.#answers.delete(request);
      relayMessages({ guest, upstream: upstream.webSocket, outgoing, incoming, record, partial: this.#partial });
    });
    // The server answers a handshake that it does not like by itself; the upstream must not wait for it.
    if (this.#answers.has(request)) upstream.webSocket.terminate();
  }

  /** The upstream did not want a WebSocket, and says why. */
  async #passOn(socket: Duplex, refused: UnexpectedResponse, { head }: Forward, record: RequestRecord): Promise<void> {
    const { response } = refused;
    const received: ResponseHead = { status: response.statusCode ?? 502, fields: endToEndLines(response.rawHeaders) };
    try {
      const incoming: IncomingSecrets = this.#context.secrets.openResponse(head, received);
      const transform = incoming.body();
      const body = transform === null ? response : through(response, transform);
      await sendResponse(socket, head.method, incoming.head, body, record);
    } finally {
      refused.destroy();
    }
  }

  #refuse(socket: Duplex, record: RequestRecord, error: unknown, signal: AbortSignal): void {
    if (signal.aborted || record.status !== null) {
      record.failed(signal.aborted ? "the client gave up" : upstreamRefusal(error).message);
      record.write();
      socket.destroy();
      return;
    }
    const refusal = error instanceof LeakError ? leakRefusal(error.leak) : upstreamRefusal(error);
    record.refused(refusal);
    record.write();
    const { secrets, sandboxRef } = this.#context;
    writeAnswer(
      socket,
      refusalAnswer(refusal, sandboxRef, (text) => secrets.scrubText(text)),
    );
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

/** A response to a handshake that is none to a WebSocket, after which the connection ends. */
async function sendResponse(
  socket: Duplex,
  method: string,
  head: ResponseHead,
  body: Parameters<typeof through>[0] | null,
  record: RequestRecord,
): Promise<void> {
  const bad = findBadLine(head.fields);
  if (bad !== null || head.status < 200 || head.status > 599) {
    throw new Refusal(502, "upstream_failed", `the response cannot be passed on: ${bad ?? `status ${head.status}`}`);
  }
  record.status = head.status;
  writeHead(socket, head.status, head.fields);
  if (body !== null && mayHaveBody(method, head.status)) {
    await pump(body, socket, declaredLength(head.fields), record.received);
  }
  socket.end();
  record.write();
}
