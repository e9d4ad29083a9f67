/** Reads the presentation language of TLS (RFC 8446, section 3) from bytes that may be anything. */

export class MalformedError extends Error {
  override readonly name = "MalformedError";
}

export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** @throws MalformedError where fewer are left, as all methods do */
  bytes(count: number): Buffer {
    if (count > this.#bytes.length - this.#at) throw new MalformedError("a length that goes beyond the end");
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  rest(): Buffer {
    return this.bytes(this.#bytes.length - this.#at);
  }

  uint8(): number {
    return this.bytes(1).readUInt8();
  }

  uint16(): number {
    return this.bytes(2).readUInt16BE();
  }

  /** A vector whose length has one byte. */
  vector8(minBytes: number, maxBytes: number): ByteReader {
    const length = this.uint8();
    if (length < minBytes || length > maxBytes) throw new MalformedError(`a vector of ${length} bytes`);
    return new ByteReader(this.bytes(length));
  }

  /** A vector whose length has two bytes. */
  vector16(minBytes: number): ByteReader {
    const length = this.uint16();
    if (length < minBytes) throw new MalformedError(`a vector of ${length} bytes`);
    return new ByteReader(this.bytes(length));
  }

  expectEnd(what: string): void {
    if (!this.atEnd) throw new MalformedError(`bytes after ${what}`);
  }
}
