/**
 * Bytes that the guest consumes, as a Node stream. Never exceeds the window the guest granted; a write is done when
 * the bytes have left this process, so the window is the only buffer beyond Node's own.
 */
import { Writable } from "node:stream";
import {
  agentViolation,
  encodeFrame,
  encodeJsonFrame,
  FRAME,
  INITIAL_WINDOW_BYTES,
  MAX_DATA_BYTES,
} from "../protocol/agent-frames.ts";
import type { DataSource, FrameWriter } from "./frame-writer.ts";
import { AgentError, type GuestWritable } from "./link.ts";

const HIGH_WATER_BYTES = 256 * 1024;
/** More than any consumer grants; a sum beyond it is an attempt to wrap something. */
const MAX_WINDOW_BYTES = 2 ** 40;
const MAX_MESSAGE_CHARS = 1024;

export interface WritableHost {
  readonly writer: FrameWriter;
  /** The stream is over and its id is free of meaning. */
  forget(streamId: number): void;
}

type Done = (error?: Error | null) => void;

export class LinkWritable extends Writable implements GuestWritable, DataSource {
  readonly streamId: number;
  /** Whether a CALL has named the id: before, the guest must not hear of it. */
  announced = false;
  onWritten: ((chunk: Buffer) => void) | undefined;
  readonly #host: WritableHost;
  #windowBytes = INITIAL_WINDOW_BYTES;
  #pending: Buffer[] = [];
  #done: Done | undefined;
  /** Set when the stream was ended before its id was announced. */
  #ending: Done | undefined;
  #over = false;

  constructor(streamId: number, host: WritableHost) {
    super({ highWaterMark: HIGH_WATER_BYTES });
    this.streamId = streamId;
    this.#host = host;
    // A guest stops its streams when it likes. Who writes is told; nobody else must die of it.
    this.on("error", () => undefined);
  }

  /** The guest's CREDIT. @throws SbxError `agent_protocol` if the sum is absurd */
  credit(bytes: number): void {
    this.#windowBytes += bytes;
    if (this.#windowBytes > MAX_WINDOW_BYTES) throw agentViolation(`too much credit on stream ${this.streamId}`);
    this.#schedule();
  }

  /** The guest's STOP: nothing more is sent for this id. */
  stop(): void {
    this.#close();
    this.destroy(new AgentError("EPIPE", "the reader in the guest has closed the stream"));
  }

  /** The CALL that names the id has been sent: what was written before may go. */
  announce(): void {
    this.announced = true;
    if (this.#ending === undefined) this.#schedule();
    else this._final(this.#ending);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#take([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.#take(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: Done): void {
    if (!this.#over && !this.announced) {
      this.#ending = done;
      return;
    }
    if (!this.#over) this.#host.writer.send(encodeFrame(FRAME.end, this.streamId));
    this.#close();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    if (!this.#over) {
      if (this.announced) this.#host.writer.send(encodeJsonFrame(FRAME.fail, this.streamId, describeFailure(error)));
      this.#close();
    }
    done(error);
    const pending = this.#done;
    this.#done = undefined;
    pending?.(error ?? new AgentError("ECANCELED", "the stream was destroyed"));
  }

  sendOne(writer: FrameWriter): boolean {
    const first = this.#pending[0];
    if (first === undefined || this.#windowBytes === 0 || !this.announced) return false;
    const length = Math.min(first.length, this.#windowBytes, MAX_DATA_BYTES);
    this.#windowBytes -= length;
    if (length < first.length) {
      this.#pending[0] = first.subarray(length);
      writer.sendData(this.streamId, first.subarray(0, length));
      return this.#windowBytes > 0;
    }
    this.#pending.shift();
    if (this.#pending.length > 0) {
      writer.sendData(this.streamId, first);
      return this.#windowBytes > 0;
    }
    writer.sendData(this.streamId, first, () => {
      const done = this.#done;
      this.#done = undefined;
      done?.();
    });
    return false;
  }

  #take(chunks: Buffer[], done: Done): void {
    this.#pending = chunks.filter((chunk) => chunk.length > 0);
    if (this.#pending.length === 0) {
      done();
      return;
    }
    this.#done = (error) => {
      if (error === undefined) for (const chunk of chunks) this.onWritten?.(chunk);
      done(error);
    };
    this.#schedule();
  }

  #schedule(): void {
    if (this.announced && this.#windowBytes > 0 && this.#pending.length > 0) this.#host.writer.schedule(this);
  }

  #close(): void {
    this.#over = true;
    this.#pending = [];
    this.#host.writer.unschedule(this);
    this.#host.forget(this.streamId);
  }
}

function describeFailure(error: Error | null): { code: string; message: string } {
  if (error === null || error.name === "AbortError") return { code: "ECANCELED", message: "cancelled by the host" };
  const code = error instanceof AgentError ? error.code : "EIO";
  return { code, message: error.message.slice(0, MAX_MESSAGE_CHARS) };
}
