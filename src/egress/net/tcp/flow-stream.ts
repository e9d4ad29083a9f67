/**
 * A flow as a Node stream. What it reads is hostile. Writing: a chunk belongs to the stream from then on, and must not
 * be changed until the guest has acknowledged it, which is later than the write's callback.
 */
import { Duplex } from "node:stream";
import type { Connection, ConnectionStream } from "./connection.ts";
import { FlowError, type TcpContext } from "./context.ts";
import { isWorthTelling } from "./window.ts";

const WRITE_BUFFER_BYTES = 64 * 1024;
/** What a writer may have queued when all flows together have too much. */
const TIGHT_SEND_BYTES = 64 * 1024;

type Done = (error?: Error | null) => void;

export class FlowStream extends Duplex implements ConnectionStream {
  readonly #context: TcpContext;
  readonly #connection: Connection;
  #isReading = false;
  #hasEnded = false;
  /** Callbacks of a write that found the queue full, and of the end. */
  #written: Done | undefined;
  #finished: Done | undefined;

  constructor(context: TcpContext, connection: Connection) {
    // One byte: the receive queue is the buffer, and what Node's own holds has not been consumed.
    super({ allowHalfOpen: true, readableHighWaterMark: 1, writableHighWaterMark: WRITE_BUFFER_BYTES });
    this.#context = context;
    this.#connection = connection;
    // A guest resets its connections when it likes. Who uses this one is told; nobody else must die of it.
    this.on("error", () => undefined);
  }

  get isReading(): boolean {
    return this.#isReading;
  }

  onData(data: Buffer): void {
    this.#push(data);
  }

  onReadable(): void {
    if (this.#isReading) this.#deliver();
  }

  onAcknowledged(): void {
    const done = this.#written;
    if (done === undefined || !this.#hasRoom()) return;
    this.#written = undefined;
    done();
  }

  onFinished(): void {
    const done = this.#finished;
    this.#finished = undefined;
    done?.();
  }

  fail(error: Error): void {
    this.destroy(error);
  }

  override _read(): void {
    this.#isReading = true;
    this.#connection.receiveQueue.settle();
    this.#deliver();
    this.#tellWindow();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#connection.sendQueue.push(chunk);
    this.#accept(done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    for (const { chunk } of chunks) this.#connection.sendQueue.push(chunk);
    this.#accept(done);
  }

  override _final(done: Done): void {
    this.#finished = done;
    this.#connection.finQueued = true;
    this.#context.schedule(this.#connection);
  }

  override _destroy(error: Error | null, callback: Done): void {
    const reason = error ?? new FlowError("ECANCELED", "the stream was destroyed");
    this.#isReading = false;
    const connection = this.#connection;
    connection.receiveQueue.clear();
    connection.reassembly.clear();
    if (!connection.isOver) this.#context.abort(connection);
    this.#context.release(connection);
    callback(error);
    this.#written?.(reason);
    this.#finished?.(reason);
    this.#written = undefined;
    this.#finished = undefined;
  }

  #accept(done: Done): void {
    this.#context.schedule(this.#connection);
    if (this.#hasRoom()) done();
    else this.#written = done;
  }

  #hasRoom(): boolean {
    const { limits, sendBudget } = this.#context;
    return this.#connection.sendQueue.bytes < (sendBudget.isTight ? TIGHT_SEND_BYTES : limits.flowSendBytes);
  }

  #deliver(): void {
    const { receiveQueue } = this.#connection;
    while (this.#isReading) {
      const data = receiveQueue.shift();
      if (data === undefined) break;
      this.#push(data);
    }
    if (this.#isReading && this.#connection.finReceived && !this.#hasEnded) {
      this.#hasEnded = true;
      this.push(null);
    }
  }

  #push(data: Buffer): void {
    this.#isReading = this.push(data);
    // Nothing is left in Node's buffer, so the reader has had it.
    if (this.#isReading) this.#connection.receiveQueue.settle();
  }

  #tellWindow(): void {
    const connection = this.#connection;
    if (connection.phase !== "open" || connection.finReceived || !isWorthTelling(this.#context, connection)) return;
    connection.ackDue = "now";
    this.#context.schedule(connection);
  }
}
