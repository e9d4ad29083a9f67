/**
 * One end of the socket pair between the supervisor and the hook process: frames in and out. Both ends use it. Whatever
 * does not fit the protocol ends the link.
 */
import type { Duplex } from "node:stream";
import {
  encodeCredit,
  encodeFrame,
  encodeFrameHeader,
  encodeJsonFrame,
  FRAME,
  FrameDecoder,
  frameName,
  type FrameSink,
  type FrameType,
} from "../../protocol/agent-frames.ts";

/** Bytes in the socket's buffer above which bodies wait. */
const HIGH_WATER_BYTES = 1024 * 1024;

export interface LinkListener {
  /** A CALL, a REPLY or an EVENT. An exception ends the link. */
  message(type: FrameType, id: number, value: unknown): void;
  cancel(id: number): void;
  data(id: number, part: Buffer): void;
  /** The other end's body is over; it is complete where there is no failure. */
  end(id: number, failure: string | null): void;
  stop(id: number): void;
  credit(id: number, bytes: number): void;
  /** Called once. `problem` completes "the other end …"; `broken` if that is still there and has lost its way. */
  closed(problem: string, broken: boolean): void;
}

export class HookLink implements FrameSink {
  readonly #socket: Duplex;
  readonly #listener: LinkListener;
  readonly #decoder = new FrameDecoder(this);
  readonly #waiting = new Set<() => void>();
  #corked = false;
  #closed = false;

  constructor(socket: Duplex, listener: LinkListener) {
    this.#socket = socket;
    this.#listener = listener;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("end", () => this.close("closed its socket"));
    socket.on("close", () => this.close("closed its socket"));
    socket.on("error", (error) => this.close(`closed its socket (${error.message})`));
    socket.on("drain", () => this.#wake());
  }

  /** @throws RangeError for a message that is too large */
  send(type: FrameType, id: number, value: unknown): void {
    this.#write(encodeJsonFrame(type, id, value));
  }

  sendData(id: number, bytes: Uint8Array): void {
    this.#write(encodeFrameHeader(FRAME.data, id, bytes.length));
    this.#write(bytes);
  }

  sendEnd(id: number, failure: string | null = null): void {
    if (failure === null) this.#write(encodeFrame(FRAME.end, id));
    else this.send(FRAME.fail, id, { message: failure.slice(0, 1000) });
  }

  sendStop(id: number): void {
    this.#write(encodeFrame(FRAME.stop, id));
  }

  sendCancel(id: number): void {
    this.#write(encodeFrame(FRAME.cancel, id));
  }

  sendCredit(id: number, bytes: number): void {
    this.#write(encodeCredit(id, bytes));
  }

  /** Resolves when there is room for more of a body, or nobody left to send to. */
  async room(): Promise<void> {
    while (!this.#closed && this.#socket.writableLength > HIGH_WATER_BYTES) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Sends what is waiting, then calls back. */
  flush(callback: () => void): void {
    this.#socket.end(callback);
  }

  close(problem: string, broken = false): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#decoder.stop();
    this.#socket.destroy();
    this.#wake();
    this.#listener.closed(problem, broken);
  }

  /** FrameSink. */
  data(id: number, part: Buffer): void {
    this.#listener.data(id, part);
  }

  /** FrameSink. */
  frame(type: FrameType, id: number, payload: Buffer): void {
    switch (type) {
      case FRAME.call:
      case FRAME.reply:
      case FRAME.event:
        this.#listener.message(type, id, JSON.parse(payload.toString()));
        break;
      case FRAME.cancel:
        this.#listener.cancel(id);
        break;
      case FRAME.end:
        this.#listener.end(id, null);
        break;
      case FRAME.fail:
        this.#listener.end(id, failureText(JSON.parse(payload.toString())));
        break;
      case FRAME.stop:
        this.#listener.stop(id);
        break;
      case FRAME.credit:
        this.#listener.credit(id, payload.readUInt32LE(0));
        break;
      case FRAME.hello:
      case FRAME.data:
        throw new Error(`a ${frameName(type)} frame`);
    }
  }

  #receive(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      // The codec blames the guest's agent, which has no part in this.
      const what = error instanceof Error ? error.message.replace(/^the guest agent broke its protocol: /, "") : "";
      this.close(`broke the protocol: ${what.slice(0, 200)}`, true);
    }
  }

  #wake(): void {
    for (const resume of this.#waiting) resume();
    this.#waiting.clear();
  }

  /** What is written in one tick leaves in one system call. */
  #write(bytes: Uint8Array): void {
    if (this.#closed || this.#socket.destroyed || this.#socket.writableEnded) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }
}

function failureText(value: unknown): string {
  const message: unknown = (value as { message?: unknown } | null)?.message;
  return typeof message === "string" ? message.slice(0, 1000) : "it does not say why";
}
