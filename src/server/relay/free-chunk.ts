/**
 * Gives back the memory of what was read of a socket once it was written to another one. V8 counts memory outside of its
 * heap and answers a stream of chunks with a full collection every few dozen megabytes; what was transferred away is gone
 * without one.
 */
import { Socket } from "node:net";

/** Smaller ones are not worth it, `bytes`. */
const MIN_BYTES = 4096;

/**
 * What to call when the chunk was written to `target`: a socket is done with it then, as the kernel has it. Undefined
 * where the memory may be somebody else's, too.
 */
export function freeWhenWritten(chunk: Buffer, target: unknown): (() => void) | undefined {
  const { buffer, byteOffset, byteLength } = chunk;
  const isSole = byteOffset === 0 && byteLength === buffer.byteLength && byteLength >= MIN_BYTES;
  if (!isSole || !(buffer instanceof ArrayBuffer) || !(target instanceof Socket)) return undefined;
  return () => void buffer.transfer(0);
}
