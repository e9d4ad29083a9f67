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
const READ_TIMEOUT_MS = 1_000;

export class RpcSocket {
  readonly #socket: WebSocket;
  readonly #frames = new FramePool();
  #unsentBytes = 0;
  #pings = 0;
  readonly #readers = new Map<number, () => void>();
  readonly #waiting: (() => void)[] = [];

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("pong", (data: Buffer) => this.#hasRead(Number(data)));
    socket.once("close", () => {
      this.#wake();
      this.#hasRead(Infinity);
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
    const bytes = message.length; // close enough for text: protocol messages are ASCII but for names
    this.#unsentBytes += bytes;
    this.#socket.send(message, () => {
      this.#unsentBytes -= bytes;
      if (this.#unsentBytes <= LOW_WATER_BYTES) this.#wake();
      onSent?.();
    });
  }

  /** Sends one frame of stream data; the payload may change at once. @param payload 1 byte to 256 KiB */
  sendStreamData(streamId: number, payload: Uint8Array): void {
    if (!this.open) return;
    const { message, release } = this.#frames.encode(streamId, payload);
    this.send(message, release);
  }

  /**
   * Settles when the client has read whatever was sent before: its answer to a ping comes behind what that made it
   * send. Also when the connection is going away, and after a second without an answer. Never rejects.
   */
  async read(): Promise<void> {
    if (!this.open) return;
    const mark = ++this.#pings;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#hasRead(mark), READ_TIMEOUT_MS);
      this.#readers.set(mark, () => {
        clearTimeout(timer);
        resolve();
      });
      this.#socket.ping(String(mark));
    });
  }

  /** Answers come in order, and a client may leave some out. */
  #hasRead(upTo: number): void {
    for (const [mark, settle] of this.#readers) {
      if (mark > upTo) return;
      this.#readers.delete(mark);
      settle();
    }
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
