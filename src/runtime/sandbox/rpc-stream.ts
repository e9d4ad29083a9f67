/** RPC streams as Node streams: back-pressure on either side becomes credit, or waiting, on the other. */
import { Duplex, Readable, Writable } from "node:stream";
import type { InboundStream } from "./inbound-stream.ts";
import type { OutboundStream } from "./outbound-stream.ts";

type Done = (error?: Error | null) => void;
type Chunk = { chunk: Buffer; encoding: BufferEncoding };

/** Bytes that a Node stream keeps in addition to the stream's window. */
const HIGH_WATER_BYTES = 256 * 1024;

/** Bytes from the sandbox. Destroying it tells the sandbox to stop. */
export class RpcReadable extends Readable {
  readonly #inbound: InboundStream;
  readonly #afterRead: () => void;

  /** @param windowBytes what the server was asked to keep to, if it is less than usual */
  constructor(inbound: InboundStream, windowBytes?: number) {
    super({ highWaterMark: windowBytes === undefined ? HIGH_WATER_BYTES : windowBytes / 4 });
    if (windowBytes !== undefined) inbound.narrow(windowBytes);
    this.#inbound = inbound;
    this.#afterRead = attach(this, inbound);
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    this.#afterRead();
    return chunk;
  }

  override _read(): void {
    this.#inbound.pull();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#inbound.cancel(error);
    done(error);
  }
}

/** Bytes to the sandbox. Fails with `EPIPE` when the sandbox reads no more; destroying it early is an error there. */
export class RpcWritable extends Writable {
  readonly #outbound: OutboundStream;
  /** Told each chunk that was written alone, when its bytes may be changed again. */
  onWritten: ((chunk: Buffer) => void) | undefined;

  constructor(outbound: OutboundStream) {
    super({ highWaterMark: HIGH_WATER_BYTES, decodeStrings: true });
    this.#outbound = outbound;
    outbound.onStopped = (error) => {
      this.destroy(error);
      return error;
    };
  }

  get streamId(): number {
    return this.#outbound.id;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#outbound.write(chunk, (error) => {
      if (error === undefined) this.onWritten?.(chunk);
      done(error);
    });
  }

  override _writev(chunks: Chunk[], done: Done): void {
    this.#outbound.write(join(chunks), done);
  }

  override _final(done: Done): void {
    this.#outbound.end();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#outbound.fail(error ?? new Error("ended before its end"));
    done(error);
  }
}

/** Both directions, each of which may end before the other: a TCP connection. */
export class RpcDuplex extends Duplex {
  readonly #inbound: InboundStream;
  readonly #outbound: OutboundStream;
  readonly #afterRead: () => void;

  constructor(inbound: InboundStream, outbound: OutboundStream) {
    super({ readableHighWaterMark: HIGH_WATER_BYTES, writableHighWaterMark: HIGH_WATER_BYTES, allowHalfOpen: true });
    this.#inbound = inbound;
    this.#outbound = outbound;
    this.#afterRead = attach(this, inbound);
    // A peer that answers and hangs up without reading everything: its answer still counts, so the rest that is
    // written goes nowhere quietly until the consumer has seen the end. A lost connection fails the other direction.
    outbound.onStopped = () => {
      if (this.readableEnded) this.destroy();
      else this.once("end", () => this.destroy());
      return undefined;
    };
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    this.#afterRead();
    return chunk;
  }

  override _read(): void {
    this.#inbound.pull();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#outbound.write(chunk, done);
  }

  override _writev(chunks: Chunk[], done: Done): void {
    this.#outbound.write(join(chunks), done);
  }

  override _final(done: Done): void {
    this.#outbound.end();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#inbound.cancel(error);
    this.#outbound.fail(error ?? new Error("ended before its end"));
    done(error);
  }
}

/**
 * Connects the two. A failure waits until what came before it was read: a stream that is destroyed forgets it.
 *
 * @returns what has to be called after each read
 */
function attach(readable: Readable, inbound: InboundStream): () => void {
  let failure: Error | undefined;
  const failWhenEmpty = (): void => {
    if (failure !== undefined && readable.readableLength === 0) readable.destroy(failure);
  };
  inbound.attach({
    push: (chunk) => readable.push(chunk),
    end: () => {
      readable.push(null);
    },
    fail: (error) => {
      failure = error;
      failWhenEmpty();
    },
  });
  // Not in the middle of a read: its chunk has yet to reach the consumer.
  return () => {
    if (failure !== undefined) process.nextTick(failWhenEmpty);
  };
}

/** Many small writes travel as one message. */
function join(chunks: Chunk[]): Buffer {
  return Buffer.concat(chunks.map(({ chunk }) => chunk));
}
