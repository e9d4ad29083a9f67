/**
 * A WebSocket client on a Unix socket: the supervisor of a local sandbox is at the other end. It sends without masking
 * work and delivers payloads without copying them. What arrives is checked frame by frame.
 */
import { isUtf8 } from "node:buffer";
import type { Socket } from "node:net";
import { MAX_CLIENT_MESSAGE_BYTES } from "../../protocol/rpc-limits.ts";
import { CLOSE_TIMEOUT_MS, type MessageSocket, type MessageSocketEvents } from "./message-socket.ts";
import { openUpgradedSocket, type UpgradedSocket } from "./unix-handshake.ts";
import { encodeFrameHeader, FrameReader, OPCODES, WebSocketError } from "./websocket-frames.ts";

/** Close codes that no frame may carry: they are said of a connection, not on it. */
const NO_STATUS = 1005;
const ABNORMAL = 1006;
const MAX_REASON_BYTES = 123;
/** With so much unsent, a ping goes unanswered. */
const MAX_UNSENT_PONG_BYTES = 1024 * 1024;

/**
 * Connects to a supervisor.
 *
 * @throws SbxError as {@link openUpgradedSocket}
 */
export async function openUnixWebSocket(
  socketPath: string,
  requestPath: string,
  headers: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<MessageSocket> {
  return new UnixWebSocket(await openUpgradedSocket(socketPath, requestPath, headers, signal));
}

class UnixWebSocket implements MessageSocket {
  readonly headers: Readonly<Record<string, string>>;
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  #rest: Buffer;
  #events: MessageSocketEvents | undefined;
  #closeCode = ABNORMAL;
  #closeReason = "";
  #error: Error | undefined;
  #closeSent = false;
  #closeTimer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(upgraded: UpgradedSocket) {
    this.headers = upgraded.headers;
    this.#socket = upgraded.socket;
    this.#rest = upgraded.rest;
    this.#reader = new FrameReader(
      {
        message: (opcode, parts, totalBytes) => this.#onMessage(opcode, parts, totalBytes),
        control: (opcode, payload) => this.#onControl(opcode, payload),
      },
      MAX_CLIENT_MESSAGE_BYTES,
    );
  }

  start(events: MessageSocketEvents): void {
    this.#events = events;
    const socket = this.#socket;
    socket.on("error", (error) => (this.#error ??= error));
    socket.on("close", () => this.#onSocketClose());
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    // The other side's end without a close frame: nothing more will come, and nobody reads what we send.
    socket.on("end", () => socket.destroy());
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    if (rest.length > 0) this.#onData(rest);
    if (socket.destroyed) queueMicrotask(() => this.#onSocketClose());
    else socket.resume();
  }

  sendText(text: string, written?: () => void): void {
    this.#send(OPCODES.text, [Buffer.from(text, "utf8")], written);
  }

  sendBinary(parts: readonly Uint8Array[], written?: () => void): void {
    this.#send(OPCODES.binary, parts, written);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#sendClose(code, reason);
    // The close frame of the other side must be read even if the consumer of some stream sleeps.
    this.#socket.resume();
    this.#closeTimer ??= setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS);
  }

  destroy(error?: Error): void {
    this.#error ??= error;
    this.#socket.destroy();
  }

  #send(opcode: number, parts: readonly Uint8Array[], written?: () => void): void {
    const socket = this.#socket;
    if (this.#closeSent || this.#isOver || socket.destroyed) return;
    let payloadBytes = 0;
    for (const part of parts) payloadBytes += part.length;
    socket.cork();
    socket.write(encodeFrameHeader(opcode, payloadBytes));
    for (const [index, part] of parts.entries()) {
      // Written in order: when the last part is, all are.
      if (index === parts.length - 1 && written !== undefined) socket.write(part, () => written());
      else socket.write(part);
    }
    socket.uncork();
  }

  #sendClose(code: number, reason: string): void {
    if (this.#closeSent) return;
    const text = Buffer.from(reason, "utf8").subarray(0, MAX_REASON_BYTES);
    const payload = code === NO_STATUS ? Buffer.alloc(0) : Buffer.concat([Buffer.from([code >> 8, code & 255]), text]);
    this.#send(OPCODES.close, [payload]);
    this.#closeSent = true;
  }

  #onData(chunk: Buffer): void {
    if (this.#isOver) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.#fail(error instanceof WebSocketError ? error : new WebSocketError(String(error), 1011));
    }
  }

  #fail(error: WebSocketError): void {
    this.#error ??= error;
    this.#closeCode = error.closeCode;
    this.#closeReason = error.message;
    this.#sendClose(error.closeCode, error.message);
    this.#closeTimer ??= setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS);
    this.#socket.destroySoon();
  }

  #onMessage(opcode: number, parts: Buffer[], totalBytes: number): void {
    if (opcode === OPCODES.binary) {
      this.#events?.binary(parts, totalBytes);
      return;
    }
    const payload = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts, totalBytes);
    if (!isUtf8(payload)) throw new WebSocketError("a text message that is not UTF-8", 1007);
    this.#events?.text(payload.toString("utf8"));
  }

  #onControl(opcode: number, payload: Buffer): void {
    if (opcode === OPCODES.pong) return;
    if (opcode === OPCODES.ping) {
      // Unread answers must not pile up for somebody who only pings.
      if (this.#socket.writableLength < MAX_UNSENT_PONG_BYTES) this.#send(OPCODES.pong, [payload]);
      return;
    }
    this.#closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : NO_STATUS;
    this.#closeReason = payload.toString("utf8", 2);
    this.#sendClose(this.#closeCode, "");
    this.#socket.end();
  }

  #onSocketClose(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#closeTimer);
    this.#events?.close(this.#closeCode, this.#closeReason, this.#error);
  }
}
