/**
 * The streams of one connection: which exist, which were announced but not yet asked for, and how much waits in all.
 * Notifications and frames come from the server and are untrusted: a violation throws MessageError.
 */
import { decodeBase64 } from "../../protocol/rpc-base64.ts";
import { decodeError } from "../../protocol/rpc-error.ts";
import { UNCLAIMED_STREAM_BYTES, UNCLAIMED_STREAMS } from "../../protocol/rpc-limits.ts";
import { MessageError, type StreamNotification } from "../../protocol/rpc-messages.ts";
import { InboundStream } from "./inbound-stream.ts";
import { brokenPipe, OutboundStream } from "./outbound-stream.ts";

/** What the table needs of its connection. */
export interface StreamPort {
  readonly hasCredits: boolean;
  sendData(streamId: number, chunk: Uint8Array, written?: () => void): void;
  notify(notification: StreamNotification): void;
  pauseReading(): void;
  resumeReading(): void;
}

/** Without credits nothing but the socket holds a fast server back: reading stops and goes on at these marks. */
const PAUSE_BYTES = 64 * 1024 * 1024;
const RESUME_BYTES = 16 * 1024 * 1024;

export class StreamTable {
  readonly #port: StreamPort;
  readonly #inbound = new Map<number, InboundStream>();
  readonly #outbound = new Map<number, OutboundStream>();
  /** Announced by the server, not yet named by a reply that somebody took. */
  readonly #unclaimed = new Map<number, InboundStream>();
  /** Cancelled by us before the server announced them: the announcement is still to come. */
  readonly #cancelledEarly = new Set<number>();
  #nextOutboundId = 0;
  #queuedBytes = 0;
  #isPaused = false;
  #closed: Error | undefined;

  constructor(port: StreamPort) {
    this.#port = port;
  }

  /** A new stream to the server, announced at once: the call that names it comes after. */
  openOutbound(): OutboundStream {
    const port = this.#port;
    const stream = new OutboundStream(this.#nextOutboundId++, {
      hasCredits: port.hasCredits,
      sendData: (id, chunk, written) => port.sendData(id, chunk, written),
      notify: (notification) => port.notify(notification),
      forget: (over) => this.#outbound.delete(over.id),
    });
    if (this.#closed !== undefined) {
      stream.stop(this.#closed);
      return stream;
    }
    this.#outbound.set(stream.id, stream);
    port.notify({ method: "$sandbox.stream.start", streamId: stream.id });
    return stream;
  }

  /**
   * The stream that a reply named.
   *
   * @throws MessageError if another reply named it before
   */
  claimInbound(streamId: number): InboundStream {
    if (this.#inbound.has(streamId)) throw new MessageError(`stream ${streamId} was given out twice`);
    const announced = this.#unclaimed.get(streamId);
    this.#unclaimed.delete(streamId);
    const stream = announced ?? this.#create(streamId);
    this.#inbound.set(streamId, stream);
    if (this.#closed !== undefined) stream.fail(this.#closed);
    return stream;
  }

  /** A stream that a reply named after its caller had gone. */
  refuseInbound(streamId: number): void {
    this.claimInbound(streamId).cancel(null);
  }

  /** @throws MessageError if the server breaks the rules of streams */
  onNotification(notification: StreamNotification): void {
    const { streamId } = notification;
    switch (notification.method) {
      case "$sandbox.stream.start":
        this.#onStart(streamId);
        return;
      case "$sandbox.stream.enqueue": {
        const bytes = decodeChunk(notification.data);
        this.onData(streamId, [bytes], bytes.length);
        return;
      }
      case "$sandbox.stream.end":
        this.#find(streamId)?.finish();
        return;
      case "$sandbox.stream.error": {
        const error = notification.error === null ? new Error("the stream broke off") : decodeError(notification.error);
        this.#find(streamId)?.fail(error);
        return;
      }
      case "$sandbox.stream.cancel":
        this.#outbound.get(streamId)?.stop(brokenPipe(notification.reason?.message));
        return;
      case "$sbx.stream.credit":
        this.#outbound.get(streamId)?.grant(notification.bytes);
        return;
    }
  }

  /** Data of a stream that nobody announced, or that was cancelled, is dropped. */
  onData(streamId: number, parts: readonly Buffer[], totalBytes: number): void {
    const stream = this.#find(streamId);
    if (stream === undefined) return;
    stream.receive(parts, totalBytes);
    if (this.#unclaimed.size > 0) this.#checkUnclaimed();
  }

  /** The connection is gone. */
  close(error: Error): void {
    this.#closed = error;
    for (const stream of [...this.#outbound.values()]) stream.stop(error);
    for (const stream of [...this.#inbound.values(), ...this.#unclaimed.values()]) stream.fail(error);
    this.#cancelledEarly.clear();
  }

  #find(streamId: number): InboundStream | undefined {
    return this.#inbound.get(streamId) ?? this.#unclaimed.get(streamId);
  }

  #onStart(streamId: number): void {
    if (this.#cancelledEarly.delete(streamId)) return;
    const known = this.#find(streamId);
    if (known !== undefined) {
      known.isStarted = true;
      return;
    }
    const stream = this.#create(streamId);
    stream.isStarted = true;
    this.#unclaimed.set(streamId, stream);
    this.#checkUnclaimed();
  }

  #checkUnclaimed(): void {
    let bytes = 0;
    for (const stream of this.#unclaimed.values()) bytes += stream.queuedBytes;
    if (this.#unclaimed.size > UNCLAIMED_STREAMS || bytes > UNCLAIMED_STREAM_BYTES) {
      throw new MessageError("too much for streams that nobody asked for");
    }
  }

  #create(streamId: number): InboundStream {
    return new InboundStream(streamId, {
      hasCredits: this.#port.hasCredits,
      notify: (notification) => this.#port.notify(notification),
      forget: (stream) => this.#forgetInbound(stream),
      queued: (bytes) => this.#onQueued(bytes),
    });
  }

  #forgetInbound(stream: InboundStream): void {
    this.#inbound.delete(stream.id);
    this.#unclaimed.delete(stream.id);
    if (!stream.isStarted && this.#closed === undefined) this.#cancelledEarly.add(stream.id);
  }

  #onQueued(bytes: number): void {
    this.#queuedBytes += bytes;
    if (this.#port.hasCredits) return;
    if (!this.#isPaused && this.#queuedBytes > PAUSE_BYTES) {
      this.#isPaused = true;
      this.#port.pauseReading();
    } else if (this.#isPaused && this.#queuedBytes < RESUME_BYTES) {
      this.#isPaused = false;
      this.#port.resumeReading();
    }
  }
}

function decodeChunk(data: string): Buffer {
  try {
    return decodeBase64(data);
  } catch (cause) {
    throw new MessageError(`a stream chunk: ${String(cause)}`);
  }
}
