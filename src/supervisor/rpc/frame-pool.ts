/**
 * Buffers for binary stream frames, used again and again: at hundreds of megabytes a second, fresh ones would keep
 * the garbage collector busier than the work itself.
 */
import { BINARY_HEADER_BYTES, encodeBinaryFrame, writeBinaryHeader } from "../../protocol/binary-frames.ts";

/** What one read of the agent's socket brings at most; larger payloads get a buffer of their own. */
const PAYLOAD_BYTES = 64 * 1024;
/** Free buffers that are kept: some 2 MiB. */
const MAX_FREE = 32;

export interface PooledFrame {
  message: Buffer;
  /** To be called when the message has left the process; its bytes change afterwards. */
  release: () => void;
}

export class FramePool {
  readonly #free: Buffer[] = [];

  /** One message: header and a copy of the payload. */
  encode(streamId: number, payload: Uint8Array): PooledFrame {
    if (payload.length > PAYLOAD_BYTES) {
      return { message: encodeBinaryFrame(streamId, payload), release: () => undefined };
    }
    const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(BINARY_HEADER_BYTES + PAYLOAD_BYTES);
    writeBinaryHeader(buffer, streamId);
    buffer.set(payload, BINARY_HEADER_BYTES);
    return {
      message: buffer.subarray(0, BINARY_HEADER_BYTES + payload.length),
      release: () => {
        if (this.#free.length < MAX_FREE) this.#free.push(buffer);
      },
    };
  }
}
