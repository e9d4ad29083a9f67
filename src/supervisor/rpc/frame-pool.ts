/**
 * Buffers for messages with stream data, used again and again: at hundreds of megabytes a second, fresh ones would keep
 * the garbage collector busier than the work itself.
 */
import { BINARY_HEADER_BYTES, encodeBinaryFrame, writeBinaryHeader } from "../../protocol/binary-frames.ts";
import { encodeBase64 } from "../../protocol/rpc-base64.ts";
import { PLAIN_CHUNK_BYTES } from "../../protocol/rpc-limits.ts";

/** What one read of the agent's socket brings at most; larger payloads get a buffer of their own. */
const PAYLOAD_BYTES = 64 * 1024;
/** Around the data of a plain client's chunk; with the longest id of a stream. */
const ENVELOPE_BYTES = 128;
/** Base64 of the largest chunk, in its envelope. */
const TEXT_BYTES = Math.ceil(PLAIN_CHUNK_BYTES / 3) * 4 + ENVELOPE_BYTES;
/** Behind the data. */
const TEXT_END = '"}}';
/** Free buffers that are kept: 2 to 3 MiB. */
const MAX_FREE = 32;

export interface PooledFrame {
  message: Buffer;
  /** To be called when the message has left the process; its bytes change afterwards. */
  release: () => void;
}

/** The messages of one connection: either all of its stream data is binary, or none. */
export class FramePool {
  readonly #free: Buffer[] = [];
  readonly #bufferBytes: number;

  constructor(kind: "binary" | "text") {
    this.#bufferBytes = kind === "binary" ? BINARY_HEADER_BYTES + PAYLOAD_BYTES : TEXT_BYTES;
  }

  /** One binary message: header and a copy of the payload. */
  encode(streamId: number, payload: Uint8Array): PooledFrame {
    if (payload.length > PAYLOAD_BYTES) {
      return { message: encodeBinaryFrame(streamId, payload), release: () => undefined };
    }
    const buffer = this.#take();
    writeBinaryHeader(buffer, streamId);
    buffer.set(payload, BINARY_HEADER_BYTES);
    return this.#frame(buffer, BINARY_HEADER_BYTES + payload.length);
  }

  /** One `$sandbox.stream.enqueue`. By hand: its data needs no escaping, and this is the hot path of plain clients. */
  encodeText(streamId: number, payload: Uint8Array): PooledFrame {
    const head = `{"jsonrpc":"2.0","method":"$sandbox.stream.enqueue","params":{"streamId":${streamId},"data":"`;
    const data = encodeBase64(payload);
    const bytes = head.length + data.length + TEXT_END.length;
    const isLong = bytes > this.#bufferBytes;
    const buffer = isLong ? Buffer.allocUnsafeSlow(bytes) : this.#take();
    buffer.write(head, 0, "latin1");
    buffer.write(data, head.length, "latin1");
    buffer.write(TEXT_END, head.length + data.length, "latin1");
    return isLong ? { message: buffer, release: () => undefined } : this.#frame(buffer, bytes);
  }

  #take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bufferBytes);
  }

  #frame(buffer: Buffer, bytes: number): PooledFrame {
    return {
      message: buffer.subarray(0, bytes),
      release: () => {
        if (this.#free.length < MAX_FREE) this.#free.push(buffer);
      },
    };
  }
}
