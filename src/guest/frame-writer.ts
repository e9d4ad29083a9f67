/**
 * The sending side of an agent link: small frames go out at once, data of many streams in turns, one frame each, so
 * that none starves another. What is written in one tick leaves in one system call.
 */
import type { Duplex } from "node:stream";
import { encodeFrameHeader, FRAME } from "../protocol/agent-frames.ts";

/** Bytes in the socket's buffer above which data waits. Control frames never do: they are few and small. */
const HIGH_WATER_BYTES = 1024 * 1024;

export interface DataSource {
  /** Sends at most one DATA frame and says whether it could send another one at once. */
  sendOne(writer: FrameWriter): boolean;
}

export class FrameWriter {
  readonly #socket: Duplex;
  readonly #ready = new Set<DataSource>();
  #corked = false;
  #closed = false;
  /** What was sent since {@link hold}, in order; `undefined` when it goes out at once. */
  #held: { bytes: Buffer; onFlushed: (() => void) | undefined }[] | undefined;

  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on("drain", () => this.#pump());
  }

  /** Sends an encoded frame ahead of waiting data. */
  send(frame: Buffer): void {
    this.#write(frame);
  }

  /** Sends one DATA frame without copying it; `onFlushed` is called when the bytes may be changed again. */
  sendData(id: number, bytes: Buffer, onFlushed?: () => void): void {
    this.#write(encodeFrameHeader(FRAME.data, id, bytes.length));
    this.#write(bytes, onFlushed);
  }

  /** Puts a source that has data and window in the queue. */
  schedule(source: DataSource): void {
    this.#ready.add(source);
    this.#pump();
  }

  unschedule(source: DataSource): void {
    this.#ready.delete(source);
  }

  /** Keeps everything that is sent from now on. Data waits where it is. */
  hold(): void {
    this.#held ??= [];
  }

  /** Lets go of what {@link hold} kept. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const { bytes, onFlushed } of held) this.#write(bytes, onFlushed);
    this.#pump();
  }

  /** Drops all that waits; nothing is written from now on. */
  close(): void {
    this.#closed = true;
    this.#ready.clear();
    this.#held = undefined;
  }

  #pump(): void {
    while (!this.#closed && this.#held === undefined && this.#socket.writableLength < HIGH_WATER_BYTES) {
      const [source] = this.#ready;
      if (source === undefined) return;
      this.#ready.delete(source);
      if (source.sendOne(this)) this.#ready.add(source);
    }
  }

  #write(bytes: Buffer, onFlushed?: () => void): void {
    if (this.#closed || this.#socket.destroyed) return;
    if (this.#held !== undefined) {
      this.#held.push({ bytes, onFlushed });
      return;
    }
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes, onFlushed);
  }
}
