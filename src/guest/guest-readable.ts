/**
 * Bytes that the guest produces, as a Node stream. The guest is hostile: it may send what it was granted and no more,
 * and what it sent is kept in few, well filled buffers, however small its pieces are.
 */
import { Readable } from "node:stream";
import { agentViolation, encodeCredit, encodeFrame, FRAME, INITIAL_WINDOW_BYTES } from "../protocol/agent-frames.ts";
import type { AgentFailure } from "../protocol/agent-replies.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { AgentError, type GuestReadable, type ReadableOptions } from "./link.ts";
import type { WindowBudget } from "./window-budget.ts";

/** Bytes consumed after which credit is given back. */
const CREDIT_STEP_BYTES = 64 * 1024;
/** The same for a terminal, for which the agent keeps to a smaller window. */
const TERMINAL_CREDIT_STEP_BYTES = 16 * 1024;
/** Pieces below this are copied together: a view of one byte would keep the whole chunk that it came in. */
const SMALL_PIECE_BYTES = 16 * 1024;
const GATHER_BYTES = 32 * 1024;
/** A stream that carried this much is worth a larger window. */
const GROW_AFTER_BYTES = 128 * 1024;

export interface ReadableHost {
  readonly writer: FrameWriter;
  readonly budget: WindowBudget;
  /** The stream is over and its id is free of meaning. */
  forget(streamId: number): void;
}

export class LinkReadable extends Readable implements GuestReadable {
  readonly streamId: number;
  /** Whether a CALL has named the id: before, the guest must not hear of it. */
  announced = false;
  readonly #host: ReadableHost;
  readonly #isTerminal: boolean;
  #queue: Buffer[] = [];
  /** The newest bytes, behind the queue, and how much of the buffer they fill. */
  #gather: Buffer | undefined;
  #gatheredBytes = 0;
  #grantedBytes = INITIAL_WINDOW_BYTES;
  #receivedBytes = 0;
  #owedBytes = 0;
  #extraWindowBytes = 0;
  #wanted = false;
  /** Set when the guest is done: null for END, an error for FAIL. */
  #outcome: AgentError | null | undefined;

  constructor(streamId: number, host: ReadableHost, { terminal = false }: ReadableOptions = {}) {
    // One byte: the queue here is the buffer, and what Node's own holds counts as consumed.
    super({ highWaterMark: 1 });
    this.streamId = streamId;
    this.#host = host;
    this.#isTerminal = terminal;
    // A guest fails its streams when it likes. Who consumes this stream is told; nobody else must die of it.
    this.on("error", () => undefined);
  }

  /** @throws SbxError `agent_protocol` if the guest exceeds its window */
  receive(part: Buffer): void {
    this.#receivedBytes += part.length;
    if (this.#receivedBytes > this.#grantedBytes) {
      throw agentViolation(`${this.#receivedBytes - this.#grantedBytes} bytes too many on stream ${this.streamId}`);
    }
    // While more is wanted, nothing is kept.
    if (this.#wanted) this.#deliver(part);
    else this.#keep(part);
  }

  /** The guest's END. */
  finish(): void {
    this.#end(null);
  }

  /** The guest's FAIL: what came before it is still delivered. */
  fail(failure: AgentFailure): void {
    this.#end(new AgentError(failure.code, failure.message, failure.path));
  }

  override _read(): void {
    this.#wanted = true;
    this.#seal();
    let piece = this.#queue.shift();
    while (piece !== undefined) {
      if (!this.#deliver(piece)) return;
      piece = this.#queue.shift();
    }
    this.#conclude();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#queue = [];
    this.#gather = undefined;
    if (this.#outcome === undefined) {
      this.#outcome = null;
      this.#host.forget(this.streamId);
      if (this.announced) this.#host.writer.send(encodeFrame(FRAME.stop, this.streamId));
    }
    this.#host.budget.give(this.#extraWindowBytes);
    this.#extraWindowBytes = 0;
    callback(error);
  }

  #end(outcome: AgentError | null): void {
    this.#outcome = outcome;
    this.#host.forget(this.streamId);
    if (this.#wanted) this.#conclude();
  }

  #conclude(): void {
    if (this.#outcome === undefined || this.destroyed) return;
    if (this.#outcome === null) this.push(null);
    else this.destroy(this.#outcome);
  }

  #keep(part: Buffer): void {
    if (part.length >= SMALL_PIECE_BYTES) {
      this.#seal();
      this.#queue.push(part);
      return;
    }
    let offset = 0;
    while (offset < part.length) {
      if (this.#gather === undefined) {
        this.#gather = Buffer.allocUnsafeSlow(GATHER_BYTES);
        this.#gatheredBytes = 0;
      }
      const copied = part.copy(this.#gather, this.#gatheredBytes, offset);
      this.#gatheredBytes += copied;
      offset += copied;
      if (this.#gatheredBytes === this.#gather.length) this.#seal();
    }
  }

  /** Moves what was gathered to the queue. */
  #seal(): void {
    if (this.#gather === undefined) return;
    this.#queue.push(this.#gather.subarray(0, this.#gatheredBytes));
    this.#gather = undefined;
  }

  /** Says whether more is wanted. */
  #deliver(bytes: Buffer): boolean {
    this.#owedBytes += bytes.length;
    if (this.#owedBytes >= (this.#isTerminal ? TERMINAL_CREDIT_STEP_BYTES : CREDIT_STEP_BYTES)) this.#repay();
    this.#wanted = this.push(bytes);
    return this.#wanted;
  }

  #repay(): void {
    if (this.#outcome !== undefined) return;
    if (!this.#isTerminal && this.#extraWindowBytes === 0 && this.#receivedBytes >= GROW_AFTER_BYTES) {
      this.#extraWindowBytes = this.#host.budget.take();
      this.#owedBytes += this.#extraWindowBytes;
    }
    this.#grantedBytes += this.#owedBytes;
    this.#host.writer.send(encodeCredit(this.streamId, this.#owedBytes));
    this.#owedBytes = 0;
  }
}
