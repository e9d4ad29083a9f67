/** The two legs of one WebSocket, joined: messages, pings, pongs and the close, each way at the pace of the receiver. */
import type { Duplex } from "node:stream";
import type WebSocket from "ws";
import type { RawData } from "ws";
import { type IncomingSecrets, LeakError, type OutgoingSecrets } from "../secrets/secrets.ts";
import type { HeldBytes } from "./held-bytes.ts";
import { leakRefusal } from "./refusal.ts";
import type { RequestRecord } from "./request-record.ts";

/** Bytes that wait for a receiver, above which the sender is not read from. */
const HIGH_WATER_BYTES = 256 * 1024;
/** What Node and `ws` take, besides the bytes, for each piece of a message and each frame that waits: rather too much. */
const PIECE_BYTES = 512;
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
  held: HeldBytes;
}

export function relayMessages(joined: Joined): void {
  const { guest, upstream, outgoing, incoming, record, held } = joined;
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
  const excess = (): void => record.failed("the sandbox's WebSockets hold too much that was not taken from them");
  const common = { held, leaked, excess, onClose };
  new Leg({ from: guest, to: upstream, translate: outgoingMessage, meter: record.sent, ...common }).start();
  const incomingMessage = (data: Buffer): Buffer => incoming.message(data);
  new Leg({ from: upstream, to: guest, translate: incomingMessage, meter: record.received, ...common }).start();
  guest.on("error", (error) => record.failed(`client: ${error.message}`));
  upstream.on("error", (error) => record.failed(`upstream: ${error.message}`));
  upstream.resume();
}

interface LegOptions {
  from: WebSocket;
  to: WebSocket;
  translate: (data: Buffer) => Buffer;
  meter: { bytes: number };
  held: HeldBytes;
  leaked: (error: unknown) => void;
  excess: () => void;
  onClose: () => void;
}

/** One direction. */
class Leg {
  readonly #options: LegOptions;
  readonly #from: WebSocket;
  readonly #to: WebSocket;
  /** Of a message that is not complete. */
  #partialBytes = 0;
  /** What `to` was given and has not written. */
  #waitingBytes = 0;

  constructor(options: LegOptions) {
    this.#options = options;
    this.#from = options.from;
    this.#to = options.to;
  }

  start(): void {
    const from = this.#from;
    // After the listener of `ws`, which has read its part then.
    const socket = socketOf(from);
    const count = (): void => this.#countPartial(partialBytes(from));
    socket.on("data", count);
    from.on("message", (data, isBinary) => this.#message(asBuffer(data), isBinary));
    from.on("ping", (data) => this.#control("ping", data));
    from.on("pong", (data) => this.#control("pong", data));
    from.once("close", (code, reason) => {
      socket.off("data", count);
      this.#countPartial(0);
      this.#close(code, reason);
      this.#options.onClose();
    });
    this.#to.once("close", () => {
      this.#options.held.add(-this.#waitingBytes);
      this.#waitingBytes = 0;
      // For its answer to the close.
      if (from.isPaused) from.resume();
    });
  }

  #message(data: Buffer, isBinary: boolean): void {
    const translated = this.#tryTranslate(data);
    if (translated === null || this.#to.readyState !== this.#to.OPEN) return;
    this.#options.meter.bytes += data.length;
    const written = this.#wait(translated.length);
    if (written !== null) this.#to.send(translated, { binary: isBinary }, written);
  }

  #control(kind: "ping" | "pong", data: Buffer): void {
    const translated = data.length === 0 ? data : this.#tryTranslate(data);
    if (translated === null || translated.length > MAX_CONTROL_BYTES || this.#to.readyState !== this.#to.OPEN) return;
    const written = this.#wait(translated.length);
    if (written !== null) this.#to[kind](translated, undefined, written);
  }

  #countPartial(bytes: number): void {
    const fits = this.#options.held.add(bytes - this.#partialBytes);
    const grew = bytes > this.#partialBytes;
    this.#partialBytes = bytes;
    if (grew && !fits) this.#giveUp();
  }

  /** @returns what is called when it has been written; `null` where it is too much */
  #wait(payloadBytes: number): (() => void) | null {
    const { held } = this.#options;
    const bytes = payloadBytes + PIECE_BYTES;
    // The message is complete: it waits as a whole now, and not in pieces.
    this.#countPartial(0);
    if (!held.tryAdd(bytes)) {
      this.#giveUp();
      return null;
    }
    this.#waitingBytes += bytes;
    if (this.#waitingBytes > HIGH_WATER_BYTES) this.#from.pause();
    return () => {
      if (this.#waitingBytes === 0) return; // `to` has closed
      held.add(-bytes);
      this.#waitingBytes -= bytes;
      if (this.#from.isPaused && this.#waitingBytes <= HIGH_WATER_BYTES) this.#from.resume();
    };
  }

  #giveUp(): void {
    this.#options.excess();
    this.#from.close(CLOSE.tryAgainLater);
    this.#from.terminate();
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
      return this.#options.translate(data);
    } catch (error) {
      this.#options.leaked(error);
      return null;
    }
  }
}

/** What `ws` has of it that it keeps until a message is complete. */
interface Insides {
  _socket: Duplex;
  _receiver: { _bufferedBytes: number; _messageLength: number; _buffers: unknown[]; _fragments: unknown[] };
}

function socketOf(webSocket: WebSocket): Duplex {
  return (webSocket as unknown as Insides)._socket;
}

function partialBytes(webSocket: WebSocket): number {
  const { _bufferedBytes, _messageLength, _buffers, _fragments } = (webSocket as unknown as Insides)._receiver;
  return _bufferedBytes + _messageLength + PIECE_BYTES * (_buffers.length + _fragments.length);
}

function asBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
