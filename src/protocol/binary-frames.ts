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
  target[offset] = KIND_STREAM_DATA;
  target[offset + 1] = 0;
  target.writeUIntLE(streamId, offset + 2, 6);
}

/**
 * One message: header and a copy of the payload.
 *
 * @param payload 1 byte to 256 KiB
 * @throws RangeError beyond those bounds
 */
export function encodeBinaryFrame(streamId: number, payload: Uint8Array): Buffer {
  if (payload.length === 0 || payload.length > BINARY_CHUNK_BYTES) {
    throw new RangeError(`a stream frame of ${payload.length} bytes`);
  }
  if (!Number.isInteger(streamId) || streamId < 0 || streamId > MAX_STREAM_ID) {
    throw new RangeError(`a stream id of ${streamId}`);
  }
  const message = Buffer.allocUnsafe(BINARY_HEADER_BYTES + payload.length);
  writeBinaryHeader(message, streamId);
  message.set(payload, BINARY_HEADER_BYTES);
  return message;
}

/** @throws RangeError if the message is no stream frame: the connection has to be closed with 4001 */
export function decodeBinaryFrame(message: Buffer): BinaryFrame {
  const payloadBytes = message.length - BINARY_HEADER_BYTES;
  if (payloadBytes < 1 || payloadBytes > BINARY_CHUNK_BYTES) {
    throw new RangeError(`a stream frame of ${payloadBytes} bytes`);
  }
  if (message[0] !== KIND_STREAM_DATA || message[1] !== 0) {
    throw new RangeError(`a binary message of kind ${String(message[0])}.${String(message[1])}`);
  }
  return { streamId: message.readUIntLE(2, 6), payload: message.subarray(BINARY_HEADER_BYTES) };
}
