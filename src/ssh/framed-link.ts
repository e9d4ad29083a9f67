/**
 * Messages of one client as frames (a uint32 of its length, then the message), for a connection whose transport ends
 * elsewhere: a control plane has the client's keys, knows who it is and sends on what it decrypts. Both ends are this
 * class. Nothing in a message is looked at here.
 */
import type { Duplex } from "node:stream";
import { hangUp } from "./hang-up.ts";
import { MAX_UNSENT_BYTES, UNSENT_BYTES } from "./limits.ts";
import type { MessageLink } from "./message-link.ts";
import { encodePayload, MSG } from "./payload.ts";

const HEAD_BYTES = 4;
/** Of a message. No packet of SSH's is as long (RFC 4253, 6.1), and none that is sent here. */
export const MAX_FRAME_BYTES = 64 * 1024;

export interface FramedLinkOptions {
  onMessage: (payload: Buffer) => void;
  /** Called once, with what went wrong if something did. */
  onEnd: (error: Error | undefined) => void;
}

export class FramedLink implements MessageLink {
  readonly #socket: Duplex;
  readonly #options: FramedLinkOptions;
  readonly #waiting: (() => void)[] = [];
  /** What has come of a frame that is not whole. */
  #rest: Buffer = Buffer.alloc(0);
  #isCorked = false;
  #over = false;

  constructor(socket: Duplex, options: FramedLinkOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on("error", (error) => this.#end(error));
    socket.on("end", () => this.#end(undefined));
    socket.on("close", () => this.#end(undefined));
    socket.on("drain", () => this.#wake());
    socket.on("data", (chunk: Buffer) => this.#parse(chunk));
    socket.resume(); // whoever opened it may have paused it
  }

  get isOver(): boolean {
    return this.#over;
  }

  get hasRoom(): boolean {
    return this.#socket.writableLength < UNSENT_BYTES;
  }

  send(payload: Buffer, more?: Buffer): void {
    if (this.#over) return;
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head.writeUInt32BE(payload.length + (more?.length ?? 0));
    this.#cork();
    this.#socket.write(head);
    this.#socket.write(payload);
    if (more !== undefined) this.#socket.write(more);
    // The other end reads nothing and makes us answer all the same.
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) this.destroy(new Error("it reads too slowly"));
  }

  async writable(): Promise<void> {
    while (!this.#over && !this.hasRoom) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  get isPaused(): boolean {
    return this.#socket.isPaused();
  }

  /** Takes nothing more until {@link resume}; what has come of a chunk still arrives. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** The message that says so is the last one: the other end sends it on and hangs up. */
  disconnect(reason: number, text: string): void {
    this.send(encodePayload(MSG.disconnect, reason, text, ""));
    this.close();
  }

  /** What was sent still arrives. */
  close(): void {
    if (this.#over) return;
    this.#uncork();
    hangUp(this.#socket);
    this.#end(undefined);
  }

  destroy(error?: Error): void {
    this.#socket.destroy();
    this.#end(error);
  }

  #parse(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (!this.#over && bytes.length >= HEAD_BYTES) {
      const length = bytes.readUInt32BE();
      if (length === 0 || length > MAX_FRAME_BYTES) {
        this.destroy(new Error(`a frame of ${length} bytes`));
        return;
      }
      const end = HEAD_BYTES + length;
      if (bytes.length < end) break;
      const payload = bytes.subarray(HEAD_BYTES, end);
      bytes = bytes.subarray(end);
      this.#options.onMessage(payload);
    }
    this.#rest = bytes;
  }

  /** Messages of one turn go in one system call. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#socket.cork();
    process.nextTick(() => this.#uncork());
  }

  #uncork(): void {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#socket.uncork();
  }

  #end(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    // Whatever still comes is of no account; a socket that nobody reads never notices its end.
    this.#socket.resume();
    this.#wake();
    this.#options.onEnd(error);
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
