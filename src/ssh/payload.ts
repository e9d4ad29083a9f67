/** Payloads of SSH messages (RFC 4251, section 5): a bounds-checked reader for what clients send, and a writer. */

/** Messages of RFC 4250, section 4.1. */
export const MSG = {
  disconnect: 1,
  serviceAccept: 6,
  userauthRequest: 50,
  userauthFailure: 51,
  userauthSuccess: 52,
  userauthBanner: 53,
  userauthPkOk: 60,
  globalRequest: 80,
  requestSuccess: 81,
  requestFailure: 82,
  channelOpen: 90,
  channelOpenConfirmation: 91,
  channelOpenFailure: 92,
  channelWindowAdjust: 93,
  channelData: 94,
  channelExtendedData: 95,
  channelEof: 96,
  channelClose: 97,
  channelRequest: 98,
  channelSuccess: 99,
  channelFailure: 100,
} as const;

/** A client that does not keep to the protocol. It is hung up on. */
export class ProtocolError extends Error {}

export class PayloadReader {
  readonly #payload: Buffer;
  #at: number;

  /** @param at where the fields begin, behind the message's number */
  constructor(payload: Buffer, at = 1) {
    this.#payload = payload;
    this.#at = at;
  }

  /** Bytes read so far. */
  get position(): number {
    return this.#at;
  }

  get hasMore(): boolean {
    return this.#at < this.#payload.length;
  }

  byte(): number {
    return this.#take(1).readUInt8(0);
  }

  boolean(): boolean {
    return this.byte() !== 0;
  }

  uint32(): number {
    return this.#take(4).readUInt32BE(0);
  }

  bytes(maxBytes = Infinity): Buffer {
    const length = this.uint32();
    if (length > maxBytes) throw new ProtocolError("a field is too long");
    return this.#take(length);
  }

  text(maxBytes?: number): string {
    return this.bytes(maxBytes).toString("utf8");
  }

  #take(bytes: number): Buffer {
    const end = this.#at + bytes;
    if (end > this.#payload.length) throw new ProtocolError("a message ends too early");
    const part = this.#payload.subarray(this.#at, end);
    this.#at = end;
    return part;
  }
}

/** One field of a payload: a number is a uint32, text and bytes carry their length. */
export type Field = number | boolean | string | Uint8Array;

/** A whole payload. */
export function encodePayload(message: number, ...fields: readonly Field[]): Buffer {
  const encoded = fields.map(encodeField);
  return Buffer.concat([Buffer.of(message), ...encoded]);
}

function encodeField(field: Field): Buffer {
  if (typeof field === "boolean") return Buffer.of(field ? 1 : 0);
  if (typeof field === "number") {
    const number = Buffer.allocUnsafe(4);
    number.writeUInt32BE(field);
    return number;
  }
  const bytes = typeof field === "string" ? Buffer.from(field) : field;
  const whole = Buffer.allocUnsafe(4 + bytes.length);
  whole.writeUInt32BE(bytes.length);
  whole.set(bytes, 4);
  return whole;
}
