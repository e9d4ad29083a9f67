/**
 * Requests of the guest's kernel, taken apart. The bytes are hostile: a stream is cut at lengths that are checked, and
 * fields are read through a cursor that cannot leave the request.
 */
import { FuseError } from "./fuse-error.ts";
import { IN_HEADER_BYTES, MAX_NAME_BYTES, MAX_REQUEST_BYTES } from "./fuse-protocol.ts";

export interface Request {
  opcode: number;
  /** The kernel's id of the request, as it came. */
  unique: Buffer;
  nodeId: number;
  body: Fields;
}

/** The stream is not one of requests; nothing that follows makes sense. */
export class BrokenStream extends Error {}

const LENGTH_BYTES = 4;

/**
 * Cuts a stream into requests. Memory is bounded by the longest request, and work by the bytes that came, however small
 * the pieces are that they come in.
 */
export class RequestDecoder {
  /** The beginning of a request, in a buffer of its length; of its length field alone while that is not complete. */
  #held: Buffer | undefined;
  #filled = 0;

  /**
   * The requests that are complete with this chunk. Their bytes are views of it: each is to be done with before the
   * next is asked for.
   *
   * @throws BrokenStream
   */
  *push(chunk: Buffer): Generator<Request, void, undefined> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#held !== undefined) {
        rest = this.#fill(this.#held, rest);
        const packet = this.#takeWhole();
        if (packet !== undefined) yield parseRequest(packet);
        continue;
      }
      const length = rest.length < LENGTH_BYTES ? LENGTH_BYTES : lengthOf(rest);
      if (rest.length >= length) {
        yield parseRequest(rest.subarray(0, length));
        rest = rest.subarray(length);
      } else {
        this.#held = Buffer.allocUnsafe(length);
        rest = this.#fill(this.#held, rest);
      }
    }
  }

  /** Copies what fits; returns what is left. */
  #fill(held: Buffer, bytes: Buffer): Buffer {
    const copied = bytes.copy(held, this.#filled);
    this.#filled += copied;
    return bytes.subarray(copied);
  }

  #takeWhole(): Buffer | undefined {
    const held = this.#held;
    if (held === undefined || this.#filled < held.length) return undefined;
    if (held.length > LENGTH_BYTES) {
      this.#held = undefined;
      this.#filled = 0;
      return held;
    }
    // The length is known now.
    this.#held = Buffer.allocUnsafe(lengthOf(held));
    held.copy(this.#held);
    return undefined;
  }
}

/** @throws BrokenStream */
function lengthOf(bytes: Buffer): number {
  const length = bytes.readUInt32LE(0);
  if (length < IN_HEADER_BYTES || length > MAX_REQUEST_BYTES) throw new BrokenStream(`a request of ${length} bytes`);
  return length;
}

function parseRequest(packet: Buffer): Request {
  return {
    opcode: packet.readUInt32LE(4),
    unique: packet.subarray(8, 16),
    nodeId: readId(packet, 16),
    // Extensions (`total_extlen`) come only where INIT asked for some; what claims to have them lacks its last field.
    body: new Fields(packet.subarray(IN_HEADER_BYTES)),
  };
}

/** A cursor over the fields of a request. @throws FuseError EINVAL beyond its end */
export class Fields {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  /** A node, a handle or a length: more than 2^53 is never right and becomes NaN, which equals nothing. */
  u64(): number {
    return readId(this.#bytes, this.#take(8));
  }

  /** Seconds since the epoch. */
  i64(): number {
    return Number(this.#bytes.readBigInt64LE(this.#take(8)));
  }

  skip(bytes: number): void {
    this.#take(bytes);
  }

  /** A name in a directory, one character a byte. @throws FuseError EINVAL, ENAMETOOLONG */
  name(): string {
    const text = this.text();
    if (text === "" || text === "." || text === ".." || text.includes("/")) throw new FuseError("EINVAL");
    if (text.length > MAX_NAME_BYTES) throw new FuseError("ENAMETOOLONG");
    return text;
  }

  /** Bytes up to a NUL, which must be there. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw new FuseError("EINVAL");
    const text = this.#bytes.toString("latin1", this.#at, end);
    this.#at = end + 1;
    return text;
  }

  /** The rest, which must be exactly so long. */
  data(bytes: number): Buffer {
    if (this.#bytes.length - this.#at !== bytes) throw new FuseError("EINVAL");
    return this.#bytes.subarray(this.#take(bytes));
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (bytes > this.#bytes.length - at) throw new FuseError("EINVAL");
    this.#at = at + bytes;
    return at;
  }
}

function readId(bytes: Buffer, at: number): number {
  const high = bytes.readUInt32LE(at + 4);
  return high > 0x1f_ffff ? NaN : high * 2 ** 32 + bytes.readUInt32LE(at);
}
