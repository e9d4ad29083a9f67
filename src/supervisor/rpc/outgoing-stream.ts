/**
 * One stream from the server to a client (deno-sandbox-protocol, section 2.6). A client of the published SDK dies of
 * an empty chunk, of anything but silence after its cancel, and of a second end; hence the one flag that rules them.
 */
import { BINARY_CHUNK_BYTES, PLAIN_CHUNK_BYTES, STREAM_WINDOW_BYTES } from "../../protocol/rpc-limits.ts";
import type { SerializedError } from "../../protocol/rpc-error.ts";
import { encodeNotification } from "../../protocol/rpc-messages.ts";
import { toSerializedError } from "./call-error.ts";
import type { RpcSocket } from "./rpc-socket.ts";

/** What a stream takes its chunks from. */
export interface ChunkSource {
  chunks: AsyncIterable<Uint8Array>;
  /** Less than the usual window (extension). */
  windowBytes?: number | undefined;
  /** Each chunk is one message: never cut, however long. */
  whole?: boolean;
  /** What happens when the client has gone: a process must not die of it, so its output is read to the end. */
  whenAbandoned: "drain" | "destroy";
  /** Lets go of whatever produces the chunks; a pending `next` must settle. */
  destroy(): void;
}

export class OutgoingStream {
  readonly streamId: number;
  /** Settles when nothing more will be sent: ended, failed, cancelled or abandoned. Never rejects. */
  readonly done: Promise<void>;
  readonly #source: ChunkSource;
  readonly #socket: RpcSocket;
  readonly #binary: boolean;
  #windowBytes: number;
  #wakeWindow: (() => void) | undefined;
  #started = false;
  #announced = false;
  #sent = false;
  #over = false;
  #draining = false;
  #finish: () => void = () => undefined;

  constructor(streamId: number, source: ChunkSource, socket: RpcSocket, extensions: boolean) {
    this.streamId = streamId;
    this.#source = source;
    this.#socket = socket;
    this.#binary = extensions;
    this.#windowBytes = extensions ? (source.windowBytes ?? STREAM_WINDOW_BYTES) : Infinity;
    this.done = new Promise((resolve) => (this.#finish = resolve));
  }

  /** Announces the stream and sends it. To be called after the reply that names it has been sent. */
  start(): void {
    if (this.#over || this.#started) return;
    this.#started = true;
    void this.#begin();
  }

  /** The client's cancel: from here on, silence. */
  cancel(): void {
    if (this.#stop()) this.#source.destroy();
  }

  /** The client's credit (extension). */
  credit(bytes: number): void {
    this.#windowBytes += bytes;
    this.#wakeWindow?.();
  }

  /** The connection is closing: the client's reader is told, as it would wait for ever otherwise. */
  abandon(error: SerializedError): void {
    if (this.#over) return;
    // An error is nothing to a client that has heard of no start, and its reader would wait.
    if (!this.#announced) this.#announce();
    this.#socket.send(encodeNotification({ method: "$sandbox.stream.error", streamId: this.streamId, error }));
    this.#draining = this.#source.whenAbandoned === "drain";
    this.#stop();
    if (!this.#draining) this.#source.destroy();
    else if (!this.#started) void this.#pump();
  }

  /** The SDK takes hold of a stream a moment after its reply, and cannot cancel one whose start came before that. */
  async #begin(): Promise<void> {
    if (!this.#binary) await this.#socket.read();
    if (!this.#over) this.#announce();
    if (!this.#over || this.#draining) await this.#pump();
  }

  async #pump(): Promise<void> {
    try {
      for await (const chunk of this.#source.chunks) {
        if (!this.#draining) await this.#sendChunk(chunk);
        if (this.#over && !this.#draining) return;
      }
      // A cancel that is on its way is let arrive first: the SDK dies of an `end` behind its cancel.
      if (!this.#binary && this.#sent) await this.#socket.read();
      if (this.#over) return;
      this.#notify("$sandbox.stream.end");
    } catch (error) {
      if (this.#over) return;
      const { streamId } = this;
      const serialized = toSerializedError(error);
      this.#socket.send(encodeNotification({ method: "$sandbox.stream.error", streamId, error: serialized }));
    }
    this.#stop();
  }

  async #sendChunk(chunk: Uint8Array): Promise<void> {
    const largest = this.#source.whole === true ? chunk.length : this.#binary ? BINARY_CHUNK_BYTES : PLAIN_CHUNK_BYTES;
    let offset = 0;
    while (offset < chunk.length) {
      const least = this.#source.whole === true ? chunk.length : 1;
      await this.#room(least);
      if (this.#over) return;
      const length = Math.min(chunk.length - offset, largest, this.#windowBytes);
      this.#sendPart(chunk.subarray(offset, offset + length));
      offset += length;
    }
  }

  /** Waits for the socket and for the window. */
  async #room(bytes: number): Promise<void> {
    await this.#socket.writable();
    while (this.#windowBytes < bytes && !this.#over) {
      await new Promise<void>((resolve) => (this.#wakeWindow = resolve));
      await this.#socket.writable();
    }
  }

  #sendPart(part: Uint8Array): void {
    this.#windowBytes -= part.length;
    this.#sent = true;
    if (this.#binary) this.#socket.sendStreamData(this.streamId, part);
    else this.#socket.sendStreamText(this.streamId, part);
  }

  #announce(): void {
    this.#announced = true;
    this.#notify("$sandbox.stream.start");
  }

  #notify(method: "$sandbox.stream.start" | "$sandbox.stream.end"): void {
    this.#socket.send(encodeNotification({ method, streamId: this.streamId }));
  }

  /** Says whether the stream was still going. */
  #stop(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#wakeWindow?.();
    this.#finish();
    return true;
  }
}
