/**
 * Frames of the agent link (docs/protocol-agent.md): encoder, incremental decoder, and the search for the first HELLO.
 * What is decoded comes from the guest and is hostile: every length, type and reserved byte is checked, and a
 * violation throws, after which the link must be given up.
 */
import { SbxError } from "../runtime/errors.ts";

export const AGENT_PROTOCOL = 1;
export const FRAME_HEADER_BYTES = 12;
export const MAX_FRAME_BYTES = 1024 * 1024;
export const MAX_DATA_BYTES = 256 * 1024;
/** What a producer may send of a new stream before the first CREDIT. */
export const INITIAL_WINDOW_BYTES = 256 * 1024;
/** A HELLO is a small object; the bound keeps the search for it cheap. */
export const MAX_HELLO_BYTES = 4096;
/** What a link reads and drops before the first HELLO, at most. */
export const MAX_RESYNC_BYTES = 16 * 1024 * 1024;

export const FRAME = {
  hello: 1,
  call: 2,
  reply: 3,
  cancel: 4,
  data: 5,
  end: 6,
  fail: 7,
  stop: 8,
  credit: 9,
  event: 10,
} as const;

export type FrameType = (typeof FRAME)[keyof typeof FRAME];

/** Bounds of the payload by frame type; a type without bounds does not exist. */
const PAYLOAD_BOUNDS: Readonly<Record<FrameType, readonly [min: number, max: number]>> = {
  [FRAME.hello]: [2, MAX_HELLO_BYTES],
  [FRAME.call]: [2, MAX_FRAME_BYTES],
  [FRAME.reply]: [2, MAX_FRAME_BYTES],
  [FRAME.cancel]: [0, 0],
  [FRAME.data]: [1, MAX_DATA_BYTES],
  [FRAME.end]: [0, 0],
  [FRAME.fail]: [2, MAX_FRAME_BYTES],
  [FRAME.stop]: [0, 0],
  [FRAME.credit]: [4, 4],
  [FRAME.event]: [2, MAX_FRAME_BYTES],
};

const FRAME_NAMES = Object.fromEntries(Object.entries(FRAME).map(([name, type]) => [type, name.toUpperCase()]));

/** Where decoded frames go. Buffers are views of what was pushed: copy what must stay. */
export interface FrameSink {
  /** One whole frame of any type but DATA. */
  frame(type: FrameType, id: number, payload: Buffer): void;
  /** A part of a DATA frame, never empty. A frame may come in several, as its bytes arrive. */
  data(id: number, part: Buffer): void;
}

export function frameName(type: number): string {
  return FRAME_NAMES[type] ?? `type ${type}`;
}

/** The error that ends a link. `what` completes "the guest agent broke its protocol: …". */
export function agentViolation(what: string, cause?: unknown): SbxError {
  return new SbxError("agent_protocol", `the guest agent broke its protocol: ${what}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: "the sandbox cannot be trusted any more; make a new one",
  });
}

/** The header alone, for payloads that are written without a copy. `length` must be within the type's bounds. */
export function encodeFrameHeader(type: FrameType, id: number, length: number): Buffer {
  const [min, max] = PAYLOAD_BOUNDS[type];
  if (length < min || length > max) throw new RangeError(`a ${frameName(type)} frame of ${length} bytes`);
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  header.writeUInt32LE(length, 0);
  header.writeUInt32LE(type, 4); // flags and the reserved field are zero
  header.writeUInt32LE(id, 8);
  return header;
}

/** A whole frame in one buffer; meant for small payloads, which are copied. */
export function encodeFrame(type: FrameType, id: number, payload?: Uint8Array): Buffer {
  const header = encodeFrameHeader(type, id, payload?.length ?? 0);
  return payload === undefined ? header : Buffer.concat([header, payload]);
}

export function encodeJsonFrame(type: FrameType, id: number, value: unknown): Buffer {
  return encodeFrame(type, id, Buffer.from(JSON.stringify(value)));
}

export function encodeCredit(id: number, bytes: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32LE(bytes, 0);
  return encodeFrame(FRAME.credit, id, payload);
}

/**
 * Cuts a byte stream into frames. DATA is passed on part by part without a copy; other payloads are copied only if
 * they span chunks, so the decoder never holds more than one frame (1 MiB).
 */
export class FrameDecoder {
  readonly #sink: FrameSink;
  readonly #header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #type: FrameType = FRAME.data;
  #id = 0;
  /** Bytes of the payload that are still to come; -1 while a header is expected. */
  #missingBytes = -1;
  #payload: Buffer | undefined;
  #stopped = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Delivers nothing more, also not from a push that is under way. */
  stop(): void {
    this.#stopped = true;
    this.#payload = undefined;
  }

  /** @throws SbxError `agent_protocol`; the decoder is of no use afterwards */
  push(chunk: Buffer): void {
    let offset = 0;
    while (!this.#stopped && offset < chunk.length) {
      if (this.#missingBytes < 0) offset = this.#readHeader(chunk, offset);
      else if (this.#type === FRAME.data) offset = this.#passData(chunk, offset);
      else offset = this.#readPayload(chunk, offset);
    }
  }

  #readHeader(chunk: Buffer, offset: number): number {
    if (this.#headerBytes === 0 && chunk.length - offset >= FRAME_HEADER_BYTES) {
      this.#startFrame(chunk, offset);
      return offset + FRAME_HEADER_BYTES;
    }
    const end = Math.min(chunk.length, offset + FRAME_HEADER_BYTES - this.#headerBytes);
    chunk.copy(this.#header, this.#headerBytes, offset, end);
    this.#headerBytes += end - offset;
    if (this.#headerBytes === FRAME_HEADER_BYTES) {
      this.#headerBytes = 0;
      this.#startFrame(this.#header, 0);
    }
    return end;
  }

  #startFrame(bytes: Buffer, offset: number): void {
    const length = bytes.readUInt32LE(offset);
    const type = bytes.readUInt8(offset + 4);
    if (bytes.readUInt8(offset + 5) !== 0 || bytes.readUInt16LE(offset + 6) !== 0) {
      throw agentViolation("a frame with reserved bits set");
    }
    if (!isFrameType(type)) throw agentViolation(`a frame of type ${type}`);
    const [min, max] = PAYLOAD_BOUNDS[type];
    if (length < min || length > max) throw agentViolation(`a ${frameName(type)} frame of ${length} bytes`);
    this.#type = type;
    this.#id = bytes.readUInt32LE(offset + 8);
    if (length === 0) this.#sink.frame(type, this.#id, Buffer.alloc(0));
    else this.#missingBytes = length;
  }

  #passData(chunk: Buffer, offset: number): number {
    const end = Math.min(chunk.length, offset + this.#missingBytes);
    this.#missingBytes -= end - offset;
    if (this.#missingBytes === 0) this.#missingBytes = -1;
    this.#sink.data(this.#id, chunk.subarray(offset, end));
    return end;
  }

  #readPayload(chunk: Buffer, offset: number): number {
    const end = Math.min(chunk.length, offset + this.#missingBytes);
    const part = chunk.subarray(offset, end);
    this.#missingBytes -= part.length;
    if (this.#payload === undefined && this.#missingBytes === 0) {
      this.#finishFrame(part);
      return end;
    }
    this.#payload ??= Buffer.allocUnsafe(part.length + this.#missingBytes);
    part.copy(this.#payload, this.#payload.length - this.#missingBytes - part.length);
    if (this.#missingBytes === 0) this.#finishFrame(this.#payload);
    return end;
  }

  #finishFrame(payload: Buffer): void {
    this.#missingBytes = -1;
    this.#payload = undefined;
    this.#sink.frame(this.#type, this.#id, payload);
  }
}

export function isFrameType(type: number): type is FrameType {
  return Object.hasOwn(PAYLOAD_BOUNDS, type);
}
