/**
 * Stream data as binary WebSocket messages, the extension of docs/protocol-supervisor.md. Untrusted in both directions.
 *
 *      0      1        2          8
 *      +------+--------+----------+------------------+
 *      | 0x01 | 0x00   | id u48le | 1..256 KiB bytes |
 *      +------+--------+----------+------------------+
 */
import { BINARY_CHUNK_BYTES, MAX_STREAM_ID } from "./rpc-limits.ts";

export const BINARY_HEADER_BYTES = 8;
const KIND_STREAM_DATA = 0x01;

export interface BinaryFrame {
  streamId: number;
  /** A view of the message, not a copy. */
  payload: Buffer;
}

/** Writes the header in front of a payload that the caller has room for. */
export function writeBinaryHeader(target: Buffer, streamId: number, offset = 0): void {
  if (!Number.isInteger(streamId) || streamId < 0 || streamId > MAX_STREAM_ID) {
    throw new RangeError(`a stream id of ${streamId}`);
  }
  target[offset] = KIND_STREAM_DATA;
  target[offset + 1] = 0;
  target.writeUIntLE(streamId, offset + 2, 6);
}

/** The header alone, for who writes the payload behind it without copying. */
export function binaryHeader(streamId: number): Buffer {
  const header = Buffer.alloc(BINARY_HEADER_BYTES);
  writeBinaryHeader(header, streamId);
  return header;
}

/**
 * One message: header and a copy of the payload.
 *
 * @param payload 1 byte to 256 KiB
 * @throws RangeError beyond those bounds
 */
export function encodeBinaryFrame(streamId: number, payload: Uint8Array): Buffer {
  checkPayload(payload.length);
  const message = Buffer.allocUnsafe(BINARY_HEADER_BYTES + payload.length);
  writeBinaryHeader(message, streamId);
  message.set(payload, BINARY_HEADER_BYTES);
  return message;
}

/** @throws RangeError if the message is no stream frame: the connection has to be closed with 4001 */
export function decodeBinaryFrame(message: Buffer): BinaryFrame {
  checkPayload(message.length - BINARY_HEADER_BYTES);
  return { streamId: readHeader(message), payload: message.subarray(BINARY_HEADER_BYTES) };
}

/**
 * The same for a message that arrived in pieces, which stay apart.
 *
 * @throws RangeError if the message is no stream frame
 */
export function decodeBinaryParts(
  parts: readonly Buffer[],
  totalBytes: number,
): { streamId: number; payload: Buffer[]; payloadBytes: number } {
  const payloadBytes = totalBytes - BINARY_HEADER_BYTES;
  checkPayload(payloadBytes);
  const [first, ...others] = parts;
  if (first !== undefined && first.length >= BINARY_HEADER_BYTES) {
    return { streamId: readHeader(first), payload: [first.subarray(BINARY_HEADER_BYTES), ...others], payloadBytes };
  }
  const { streamId, payload } = decodeBinaryFrame(Buffer.concat(parts, totalBytes));
  return { streamId, payload: [payload], payloadBytes };
}

function readHeader(message: Buffer): number {
  if (message[0] !== KIND_STREAM_DATA || message[1] !== 0) {
    throw new RangeError(`a binary message of kind ${String(message[0])}.${String(message[1])}`);
  }
  return message.readUIntLE(2, 6);
}

function checkPayload(payloadBytes: number): void {
  if (payloadBytes < 1 || payloadBytes > BINARY_CHUNK_BYTES) {
    throw new RangeError(`a stream frame of ${payloadBytes} bytes`);
  }
}
