/**
 * WebSocket frames as a client reads and writes them (RFC 6455, section 5). What is read is untrusted; payloads are
 * passed on as views of the chunks that arrived, never copied together.
 */

export const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const MAX_CONTROL_BYTES = 125;
const FIN = 0x80;
const MASKED = 0x80;
const RESERVED = 0x70;

/** A violation of the protocol, with the code to close the connection with. */
export class WebSocketError extends Error {
  readonly closeCode: number;
  constructor(message: string, closeCode = 1002) {
    super(message);
    this.name = "WebSocketError";
    this.closeCode = closeCode;
  }
}

export interface FrameEvents {
  message(opcode: typeof OPCODES.text | typeof OPCODES.binary, parts: Buffer[], totalBytes: number): void;
  control(opcode: number, payload: Buffer): void;
}

/**
 * The header of one unfragmented client frame.
 *
 * Clients have to mask; the key is zero, which leaves the payload as it is. Masking is there so that a script in a
 * browser cannot choose the bytes that an intermediary sees; on a Unix socket there is no intermediary.
 */
export function encodeFrameHeader(opcode: number, payloadBytes: number): Buffer {
  const lengthBytes = payloadBytes < 126 ? 0 : payloadBytes < 65_536 ? 2 : 8;
  const header = Buffer.alloc(2 + lengthBytes + 4);
  header[0] = FIN | opcode;
  header[1] = MASKED | (lengthBytes === 0 ? payloadBytes : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) header.writeUInt16BE(payloadBytes, 2);
  if (lengthBytes === 8) header.writeUIntBE(payloadBytes, 4, 6);
  return header;
}

/** Takes chunks as they come and calls back with whole messages and control frames. */
export class FrameReader {
  readonly #events: FrameEvents;
  readonly #maxMessageBytes: number;
  /** A header in the making: 2 to 10 bytes. */
  readonly #header = Buffer.alloc(10);
  #headerBytes = 0;
  #inPayload = false;
  #frameOpcode = 0;
  #frameFin = false;
  #remainingBytes = 0;
  /** The message in the making; 0 when there is none. */
  #messageOpcode: 0 | 1 | 2 = 0;
  #messageParts: Buffer[] = [];
  #messageBytes = 0;
  #controlParts: Buffer[] = [];

  constructor(events: FrameEvents, maxMessageBytes: number) {
    this.#events = events;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** @throws WebSocketError after which nothing more may be pushed */
  push(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length) {
      if (!this.#inPayload) {
        offset = this.#readHeader(chunk, offset);
        continue;
      }
      const end = Math.min(chunk.length, offset + this.#remainingBytes);
      this.#addPayload(chunk.subarray(offset, end));
      this.#remainingBytes -= end - offset;
      offset = end;
      if (this.#remainingBytes === 0) this.#endFrame();
    }
  }

  #readHeader(chunk: Buffer, start: number): number {
    let offset = start;
    while (offset < chunk.length) {
      this.#header[this.#headerBytes++] = chunk[offset++] ?? 0;
      if (this.#headerBytes >= 2 && this.#headerBytes === this.#headerLength()) {
        this.#startFrame();
        if (this.#remainingBytes === 0) this.#endFrame();
        return offset;
      }
    }
    return offset;
  }

  #headerLength(): number {
    const length = (this.#header[1] ?? 0) & 0x7f;
    return length === 126 ? 4 : length === 127 ? 10 : 2;
  }

  #startFrame(): void {
    const first = this.#header[0] ?? 0;
    const second = this.#header[1] ?? 0;
    this.#headerBytes = 0;
    if ((first & RESERVED) !== 0) throw new WebSocketError("reserved bits are set in a frame");
    if ((second & MASKED) !== 0) throw new WebSocketError("a server does not mask");
    this.#frameFin = (first & FIN) !== 0;
    this.#frameOpcode = first & 0x0f;
    this.#remainingBytes = this.#payloadLength(second & 0x7f);
    this.#inPayload = true;
    if (this.#frameOpcode >= 8) this.#checkControl();
    else this.#checkData();
  }

  #payloadLength(short: number): number {
    if (short === 126) return this.#header.readUInt16BE(2);
    if (short < 126) return short;
    // 2^48 bytes are far beyond any limit, so the upper 16 bits only have to be seen.
    if (this.#header.readUInt16BE(2) !== 0) throw new WebSocketError("a frame beyond any limit", 1009);
    return this.#header.readUIntBE(4, 6);
  }

  #checkControl(): void {
    const known: number[] = [OPCODES.close, OPCODES.ping, OPCODES.pong];
    if (!known.includes(this.#frameOpcode)) throw new WebSocketError(`opcode ${this.#frameOpcode}`);
    if (!this.#frameFin || this.#remainingBytes > MAX_CONTROL_BYTES) throw new WebSocketError("a bad control frame");
  }

  #checkData(): void {
    const opcode = this.#frameOpcode;
    if (opcode > OPCODES.binary) throw new WebSocketError(`opcode ${opcode}`);
    if ((opcode === OPCODES.continuation) !== (this.#messageOpcode !== 0)) {
      throw new WebSocketError("a fragment out of order");
    }
    if (opcode === OPCODES.text || opcode === OPCODES.binary) this.#messageOpcode = opcode;
    if (this.#messageBytes + this.#remainingBytes > this.#maxMessageBytes) {
      throw new WebSocketError(`a message of more than ${this.#maxMessageBytes} bytes`, 1009);
    }
  }

  #addPayload(part: Buffer): void {
    if (this.#frameOpcode >= 8) {
      this.#controlParts.push(part);
      return;
    }
    this.#messageParts.push(part);
    this.#messageBytes += part.length;
  }

  #endFrame(): void {
    this.#inPayload = false;
    if (this.#frameOpcode >= 8) {
      const payload = Buffer.concat(this.#controlParts);
      this.#controlParts = [];
      this.#events.control(this.#frameOpcode, payload);
      return;
    }
    const opcode = this.#messageOpcode;
    if (!this.#frameFin || opcode === 0) return;
    const parts = this.#messageParts;
    const totalBytes = this.#messageBytes;
    this.#messageOpcode = 0;
    this.#messageParts = [];
    this.#messageBytes = 0;
    this.#events.message(opcode, parts, totalBytes);
  }
}
