/**
 * The sending half of a connection, with back-pressure: what was handed to the WebSocket and has not left yet is
 * counted, and producers wait while it is much. Nothing is sent once the socket is closing.
 */
import type { WebSocket } from "ws";
import { FramePool } from "./frame-pool.ts";

/** Unsent bytes above which streams wait, and below which they go on. */
const HIGH_WATER_BYTES = 2 * 1024 * 1024;
const LOW_WATER_BYTES = 512 * 1024;
const WAKE_AT_ONCE = 8;
/** How long a client is waited for that does not answer pings, though every WebSocket must. */
const READ_TIMEOUT_MS = 500;

export class RpcSocket {
  readonly #socket: WebSocket;
  readonly #binaryFrames = new FramePool("binary");
  readonly #textFrames = new FramePool("text");
  #unsentBytes = 0;
  #pings = 0;
  #pingTimer: NodeJS.Timeout | undefined;
  /** Who waits for the ping under way, and for the next one. */
  #asked: (() => void)[] = [];
  #unread: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("pong", (data: Buffer) => {
      if (String(data) === String(this.#pings)) this.#hasRead();
    });
    socket.once("close", () => {
      this.#wake();
      this.#hasRead();
    });
  }

  /** False once the connection is going away: producers stop then. */
  get open(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  /** Sends a text or binary message. `onSent` is called when it has left the process, or never will. */
  send(message: string | Buffer, onSent?: () => void): void {
    if (!this.open) {
      onSent?.();
      return;
    }
    this.#socket.send(message, this.#count(message, onSent));
  }

  /** Sends one text message in fragments, all of them now: no other message can come between them. */
  sendPieces(pieces: readonly Buffer[], onSent?: () => void): void {
    if (!this.open) {
      onSent?.();
      return;
    }
    const last = pieces.length - 1;
    for (const [index, piece] of pieces.entries()) {
      const fin = index === last;
      this.#socket.send(piece, { binary: false, fin }, this.#count(piece, fin ? onSent : undefined));
    }
  }

  /** Sends one chunk of stream data as a binary frame; the payload may change at once. @param payload 1 byte to 256 KiB */
  sendStreamData(streamId: number, payload: Uint8Array): void {
    if (!this.open) return;
    const { message, release } = this.#binaryFrames.encode(streamId, payload);
    this.send(message, release);
  }

  /** The same for a client without the extensions. */
  sendStreamText(streamId: number, payload: Uint8Array): void {
    if (!this.open) return;
    const { message, release } = this.#textFrames.encodeText(streamId, payload);
    this.#socket.send(message, { binary: false }, this.#count(message, release));
  }

  /**
   * Settles when the client has read whatever was sent before: its answer to a ping comes behind what that made it
   * send. Also when the connection is going away, and after half a second without an answer. Never rejects.
   */
  async read(): Promise<void> {
    if (!this.open) return;
    await new Promise<void>((resolve) => {
      this.#unread.push(resolve);
      if (this.#asked.length === 0) this.#ask();
    });
  }

  /** Counts a message until it has left. Returns what is to be called then. */
  #count(message: string | Buffer, onSent?: () => void): () => void {
    const bytes = message.length; // close enough for text: protocol messages are ASCII but for names
    this.#unsentBytes += bytes;
    return () => {
      this.#unsentBytes -= bytes;
      if (this.#unsentBytes <= LOW_WATER_BYTES) this.#wake();
      onSent?.();
    };
  }

  /** One ping at a time: some clients take more for an attack. Who comes meanwhile is meant by the next one. */
  #ask(): void {
    this.#asked = this.#unread;
    this.#unread = [];
    if (this.#asked.length === 0) return;
    this.#pings += 1;
    this.#pingTimer = setTimeout(() => this.#hasRead(), READ_TIMEOUT_MS);
    this.#socket.ping(String(this.#pings));
  }

  #hasRead(): void {
    clearTimeout(this.#pingTimer);
    for (const settle of this.#asked) settle();
    if (!this.open) for (const settle of this.#unread.splice(0)) settle();
    this.#ask();
  }

  /** Settles when there is room for more, or when the connection is going away. */
  async writable(): Promise<void> {
    if (this.#unsentBytes < HIGH_WATER_BYTES) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Lets a few go on at a time: all at once they would send far beyond the mark before it is looked at again. */
  #wake(): void {
    for (const wake of this.#waiting.splice(0, this.open ? WAKE_AT_ONCE : Infinity)) wake();
    if (this.#waiting.length === 0) return;
    setImmediate(() => {
      if (this.#unsentBytes < HIGH_WATER_BYTES) this.#wake();
    });
  }
}
