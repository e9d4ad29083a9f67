/**
 * A connection through a Unix socket whose ends mean something: there the end of a stream does not tell whether it is
 * complete or its sender died. Each part of it stands behind its length, both ways:
 *
 *     +--------------+-------------------+
 *     | length u32be | bytes             |     length 0: this half is complete
 *     +--------------+-------------------+
 */
import { Duplex } from "node:stream";

const HEAD_BYTES = 4;
/** Nobody sends more at once: what is said to be longer is no such stream. `bytes` */
const MAX_PART_BYTES = 64 * 1024 * 1024;
/** What is copied behind its length, so that the socket has one thing to write, `bytes`. */
const SMALL_PART_BYTES = 4 * 1024;
const COMPLETE = Buffer.alloc(HEAD_BYTES);
const NOTHING = Buffer.alloc(0);

/** The socket ended before its stream did. */
export class BrokenOffError extends Error {
  override readonly name = "BrokenOffError";
  readonly code = "ECONNRESET";
}

export class PartedStream extends Duplex {
  readonly #socket: Duplex;
  /** The beginning of a part's length. */
  #head: Buffer = NOTHING;
  /** Of the part that is being read, `bytes`. */
  #left = 0;
  #isComplete = false;

  /** @param begun what was read of the socket already */
  constructor(socket: Duplex, begun: Buffer) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.destroy(error));
    socket.on("end", () => this.#socketEnded());
    socket.on("close", () => this.#socketEnded());
    socket.pause();
    if (begun.length > 0) this.#receive(begun);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (chunk.length <= SMALL_PART_BYTES) {
      this.#socket.write(asPart(chunk), done);
      return;
    }
    this.#socket.cork();
    this.#socket.write(headOf(chunk));
    this.#socket.write(chunk, done);
    this.#socket.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(COMPLETE, () => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #socketEnded(): void {
    if (this.#isComplete || this.destroyed) return;
    this.destroy(new BrokenOffError("the connection broke off"));
  }

  #receive(chunk: Buffer): void {
    let bytes = chunk;
    let takesMore = true;
    while (bytes.length > 0 && !this.#isComplete && !this.destroyed) {
      if (this.#left > 0) {
        const part = bytes.subarray(0, this.#left);
        this.#left -= part.length;
        bytes = bytes.subarray(part.length);
        takesMore = this.push(part);
      } else bytes = this.#readHead(bytes);
    }
    if (!takesMore) this.#socket.pause();
  }

  /** What is behind it. */
  #readHead(bytes: Buffer): Buffer {
    const missing = HEAD_BYTES - this.#head.length;
    // Mostly it is whole, and begins the chunk.
    const head = missing === HEAD_BYTES ? bytes : Buffer.concat([this.#head, bytes.subarray(0, missing)]);
    if (head.length < HEAD_BYTES) this.#head = Buffer.from(head);
    else {
      this.#head = NOTHING;
      this.#begin(head.readUInt32BE());
    }
    return bytes.subarray(missing);
  }

  #begin(length: number): void {
    this.#left = length;
    if (length === 0) {
      this.#isComplete = true;
      this.push(null);
    } else if (length > MAX_PART_BYTES) this.destroy(new BrokenOffError("a part that is too long"));
  }
}

/** The bytes as one part of such a stream. */
export function asPart(bytes: Buffer): Buffer {
  const part = Buffer.allocUnsafe(HEAD_BYTES + bytes.length);
  part.writeUInt32BE(bytes.length);
  bytes.copy(part, HEAD_BYTES);
  return part;
}

function headOf(bytes: Buffer): Buffer {
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  head.writeUInt32BE(bytes.length);
  return head;
}
