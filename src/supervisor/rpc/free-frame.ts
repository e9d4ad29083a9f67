/**
 * Gives the memory of a binary stream frame back at once. V8 counts what it is told to keep outside of its heap, and
 * answers a stream of frames with a full garbage collection every few dozen megabytes; a buffer that was transferred
 * away is gone without one.
 */
import { BINARY_HEADER_BYTES } from "../../protocol/binary-frames.ts";

/**
 * Frees the memory of a payload that nobody needs any more, if it is that of its message alone: the socket's own chunks,
 * in which other messages may lie, and buffers of Node's pool are left to the garbage collector.
 */
export function freeFrame(payload: Uint8Array): void {
  const { buffer, byteOffset, byteLength } = payload;
  // The message, of which the payload is the rest, is all that is in there.
  if (byteOffset !== BINARY_HEADER_BYTES || byteOffset + byteLength !== buffer.byteLength) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
