/**
 * The streams from one client: they may begin before the call that names them, and a plain client sends them as fast
 * as it can. So what waits is counted: beyond a limit the connection is not read until a consumer has caught up, and
 * if none moves for long, the stream with the most in it is cancelled, as nothing else could come through any more.
 */
import { UNCLAIMED_STREAM_BYTES, UNCLAIMED_STREAMS } from "../../protocol/rpc-limits.ts";
import type { SerializedError } from "../../protocol/rpc-error.ts";
import { encodeNotification } from "../../protocol/rpc-messages.ts";
import { CallError, callTypeError, toSerializedError } from "./call-error.ts";
import { IncomingStream } from "./incoming-stream.ts";
import type { RpcSocket } from "./rpc-socket.ts";

/** Waiting bytes at which reading stops, and to which they must fall for it to go on. */
const PAUSE_BYTES = 32 * 1024 * 1024;
const RESUME_BYTES = 8 * 1024 * 1024;
/** Time without any progress after which a stream is given up, `ms`. */
const STALL_MS = 30_000;
/** Ids of streams that are over; chunks for them may still be under way. */
const MAX_REMEMBERED = 4096;
/** Claimed streams of one connection. */
const MAX_STREAMS = 4096;

/** Stops and starts the reading of the connection. */
export interface Valve {
  pause(): void;
  resume(): void;
}

export class IncomingStreams {
  readonly #socket: RpcSocket;
  readonly #valve: Valve;
  readonly #windowed: boolean;
  readonly #streams = new Map<number, IncomingStream>();
  readonly #over = new Set<number>();
  #bufferedBytes = 0;
  #unclaimedBytes = 0;
  #unclaimed = 0;
  #paused = false;
  #stall: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(socket: RpcSocket, valve: Valve, windowed: boolean) {
    this.#socket = socket;
    this.#valve = valve;
    this.#windowed = windowed;
  }

  /** The client begins a stream. */
  start(streamId: number): void {
    this.#over.delete(streamId);
    this.#findOrOpen(streamId);
  }

  /** A chunk; for a stream that is over it is dropped. @throws MessageError on a window exceeded */
  receive(streamId: number, bytes: Buffer): void {
    const stream = this.#findOrOpen(streamId);
    if (stream === undefined) return;
    stream.receive(bytes);
    if (!stream.claimed && this.#unclaimedBytes > UNCLAIMED_STREAM_BYTES) {
      stream.destroy(new Error("too much data for a stream that no call has named"));
    }
  }

  finish(streamId: number): void {
    this.#findOrOpen(streamId)?.finish();
  }

  fail(streamId: number, error: SerializedError | null): void {
    this.#findOrOpen(streamId)?.fail(error);
  }

  /**
   * The stream that a call names, from then on the call's to read or to destroy.
   *
   * @throws CallError if another call has it
   */
  claim(streamId: number): IncomingStream {
    this.#over.delete(streamId);
    const stream = this.#findOrOpen(streamId);
    if (stream === undefined) throw new CallError({ constructorName: "Busy", message: "too many open streams" });
    if (stream.claimed) throw callTypeError(`stream ${streamId} is in use by another call`);
    stream.claimed = true;
    this.#unclaimed--;
    this.#unclaimedBytes -= stream.queuedBytes;
    return stream;
  }

  /** Refuses a stream that a failed call has named, unless another call has it. */
  refuse(streamId: number, reason: Error): void {
    const stream = this.#streams.get(streamId);
    if (stream?.claimed === false) stream.destroy(reason);
  }

  /** The connection has gone: whoever reads a stream is told. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#stall);
    const error = new CallError({ constructorName: "ConnectionReset", message: "the client has gone" });
    for (const stream of [...this.#streams.values()]) stream.destroy(error);
  }

  /** IncomingOwner. */
  buffered(stream: IncomingStream, deltaBytes: number): void {
    this.#bufferedBytes += deltaBytes;
    if (!stream.claimed) this.#unclaimedBytes += deltaBytes;
    if (this.#closed) return;
    if (!this.#paused && this.#bufferedBytes > PAUSE_BYTES) {
      this.#paused = true;
      this.#valve.pause();
    } else if (this.#paused && this.#bufferedBytes < RESUME_BYTES) {
      this.#paused = false;
      this.#valve.resume();
    }
    clearTimeout(this.#stall);
    if (this.#paused) this.#stall = setTimeout(() => this.#giveUp(), STALL_MS).unref();
  }

  /** IncomingOwner. */
  grant(streamId: number, bytes: number): void {
    this.#socket.send(encodeNotification({ method: "$sbx.stream.credit", streamId, bytes }));
  }

  /** IncomingOwner. */
  cancelled(streamId: number, error: Error | null): void {
    if (this.#closed) return;
    const reason = error === null ? null : toSerializedError(error);
    this.#socket.send(encodeNotification({ method: "$sandbox.stream.cancel", streamId, reason }));
  }

  /** IncomingOwner. */
  forget(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#streams.delete(streamId);
    if (!stream.claimed) this.#unclaimed--;
    this.#over.add(streamId);
    if (this.#over.size > MAX_REMEMBERED) {
      for (const oldest of this.#over) {
        this.#over.delete(oldest);
        break;
      }
    }
  }

  /** Undefined for a stream that is over, or if there are too many. */
  #findOrOpen(streamId: number): IncomingStream | undefined {
    const known = this.#streams.get(streamId);
    if (known !== undefined || this.#over.has(streamId) || this.#closed) return known;
    if (this.#streams.size >= MAX_STREAMS) return undefined;
    if (this.#unclaimed >= UNCLAIMED_STREAMS) this.#dropOldestUnclaimed();
    const stream = new IncomingStream(streamId, this, this.#windowed);
    this.#streams.set(streamId, stream);
    this.#unclaimed++;
    return stream;
  }

  #dropOldestUnclaimed(): void {
    for (const stream of this.#streams.values()) {
      if (stream.claimed) continue;
      stream.destroy(new Error("no call has named this stream"));
      return;
    }
  }

  #giveUp(): void {
    let largest: IncomingStream | undefined;
    for (const stream of this.#streams.values()) {
      if (stream.queuedBytes > (largest?.queuedBytes ?? 0)) largest = stream;
    }
    largest?.destroy(new Error(`nothing in the sandbox has read this stream for ${STALL_MS / 1000} s`));
  }
}
