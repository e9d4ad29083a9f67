/** The two legs of one WebSocket, joined: messages, pings, pongs and the close, each way at the pace of the receiver. */
import type { Duplex } from "node:stream";
import type WebSocket from "ws";
import type { RawData } from "ws";
import { type IncomingSecrets, LeakError, type OutgoingSecrets } from "../secrets/secrets.ts";
import { leakRefusal } from "./refusal.ts";
import type { RequestRecord } from "./request-record.ts";

/** Bytes that wait for a receiver, above which the sender is not read from. */
const HIGH_WATER_BYTES = 256 * 1024;
/** RFC 6455, 5.5: a control frame's payload, and what of it a close code leaves for the reason. */
const MAX_CONTROL_BYTES = 125;
const MAX_REASON_BYTES = 123;
/** RFC 6455, 7.4.1. */
const CLOSE = { goingAway: 1001, noStatus: 1005, abnormal: 1006, policyViolation: 1008, tryAgainLater: 1013 } as const;

export interface Joined {
  guest: WebSocket;
  /** Paused until now. */
  upstream: WebSocket;
  outgoing: OutgoingSecrets;
  incoming: IncomingSecrets;
  record: RequestRecord;
  partial: PartialMessages;
}

/** What has come of messages that are not complete: each is bounded by itself, and here all of them together. */
export class PartialMessages {
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Counts what comes in on a leg; `onExcess` is called when it is too much. @returns called at the end of each message */
  watch(webSocket: WebSocket, onExcess: () => void): () => void {
    let own = 0;
    const complete = (): void => {
      this.#bytes -= own;
      own = 0;
    };
    const count = (chunk: Buffer): void => {
      own += chunk.length;
      this.#bytes += chunk.length;
      if (this.#bytes > this.#maxBytes) onExcess();
    };
    // The connection below; `ws` reads it and keeps the pieces until a message is complete.
    const { _socket: socket } = webSocket as unknown as { _socket: Duplex };
    socket.prependListener("data", count);
    webSocket.once("close", () => {
      socket.off("data", count);
      complete();
    });
    return complete;
  }
}

export function relayMessages(joined: Joined): void {
  const { guest, upstream, outgoing, incoming, record, partial } = joined;
  let open = 2;
  const onClose = (): void => {
    if (--open === 0) record.write();
  };
  const leaked = (error: unknown): void => {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof LeakError) record.refused(leakRefusal(error.leak));
    else record.failed(message);
    guest.close(CLOSE.policyViolation, "blocked by sbx");
    upstream.close(CLOSE.goingAway);
  };
  const outgoingMessage = (data: Buffer): Buffer => {
    const translated = outgoing.message(data);
    record.writeLeaks();
    return translated;
  };
  new Leg(guest, upstream, outgoingMessage, record.sent, partial, leaked, onClose).start();
  new Leg(upstream, guest, (data) => incoming.message(data), record.received, partial, leaked, onClose).start();
  guest.on("error", (error) => record.failed(`client: ${error.message}`));
  upstream.on("error", (error) => record.failed(`upstream: ${error.message}`));
  upstream.resume();
}

/** One direction. */
class Leg {
  readonly #from: WebSocket;
  readonly #to: WebSocket;
  readonly #translate: (data: Buffer) => Buffer;
  readonly #meter: { bytes: number };
  readonly #partial: PartialMessages;
  readonly #onLeak: (error: unknown) => void;
  readonly #onClose: () => void;

  constructor(
    from: WebSocket,
    to: WebSocket,
    translate: (data: Buffer) => Buffer,
    meter: { bytes: number },
    partial: PartialMessages,
    onLeak: (error: unknown) => void,
    onClose: () => void,
  ) {
    this.#from = from;
    this.#to = to;
    this.#translate = translate;
    this.#meter = meter;
    this.#partial = partial;
    this.#onLeak = onLeak;
    this.#onClose = onClose;
  }

  start(): void {
    const from = this.#from;
    const complete = this.#partial.watch(from, () => {
      from.close(CLOSE.tryAgainLater);
      from.terminate();
    });
    from.on("message", (data, isBinary) => {
      complete();
      this.#message(asBuffer(data), isBinary);
    });
    from.on("ping", (data) => this.#control("ping", data));
    from.on("pong", (data) => this.#control("pong", data));
    from.once("close", (code, reason) => {
      this.#close(code, reason);
      this.#onClose();
    });
  }

  #message(data: Buffer, isBinary: boolean): void {
    const translated = this.#tryTranslate(data);
    if (translated === null || this.#to.readyState !== this.#to.OPEN) return;
    this.#meter.bytes += data.length;
    this.#to.send(translated, { binary: isBinary }, this.#sent);
    this.#slowDown();
  }

  #control(kind: "ping" | "pong", data: Buffer): void {
    const translated = data.length === 0 ? data : this.#tryTranslate(data);
    if (translated === null || translated.length > MAX_CONTROL_BYTES || this.#to.readyState !== this.#to.OPEN) return;
    this.#to[kind](translated, undefined, this.#sent);
    this.#slowDown();
  }

  #close(code: number, reason: Buffer): void {
    const to = this.#to;
    if (to.readyState === to.CLOSED || to.readyState === to.CLOSING) return;
    if (code === CLOSE.abnormal) {
      to.terminate();
    } else if (code === CLOSE.noStatus) {
      to.close();
    } else {
      const translated = reason.length === 0 ? reason : this.#tryTranslate(reason);
      if (to.readyState !== to.OPEN) return;
      to.close(code, translated !== null && translated.length <= MAX_REASON_BYTES ? translated : undefined);
    }
  }

  /** `null` for what must not pass; both sides have been told then. */
  #tryTranslate(data: Buffer): Buffer | null {
    try {
      return this.#translate(data);
    } catch (error) {
      this.#onLeak(error);
      return null;
    }
  }

  #slowDown(): void {
    if (this.#to.bufferedAmount > HIGH_WATER_BYTES) this.#from.pause();
  }

  readonly #sent = (): void => {
    if (this.#from.isPaused && this.#to.bufferedAmount <= HIGH_WATER_BYTES) this.#from.resume();
  };
}

function asBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
