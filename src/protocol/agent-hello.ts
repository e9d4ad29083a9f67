/**
 * The search for the guest's first HELLO. Whatever a former link left in the port comes before it, cut anywhere; the
 * input is hostile, so what is kept and what is read in all are bounded.
 */
import {
  AGENT_PROTOCOL,
  agentViolation,
  FRAME,
  FRAME_HEADER_BYTES,
  MAX_HELLO_BYTES,
  MAX_RESYNC_BYTES,
} from "./agent-frames.ts";
import type { AgentHello } from "./agent-calls.ts";
import { findHello } from "./agent-replies.ts";

/** Bytes 4 to 11 of a HELLO's header: type, no flags, reserved, id 0. */
const HELLO_SIGNATURE = Buffer.from([FRAME.hello, 0, 0, 0, 0, 0, 0, 0]);
const LENGTH_BYTES = 4;

export interface FoundHello {
  hello: AgentHello;
  /** What came after the frame. */
  rest: Buffer;
}

/** Feeds on chunks until a valid HELLO has arrived. */
export class HelloScanner {
  #kept: Buffer = Buffer.alloc(0);
  #droppedBytes = 0;

  /** @throws SbxError `agent_protocol` on another protocol version, or when too much came without a HELLO */
  push(chunk: Buffer): FoundHello | undefined {
    const bytes = this.#kept.length === 0 ? chunk : Buffer.concat([this.#kept, chunk]);
    let firstOpen = -1;
    for (let at = bytes.indexOf(HELLO_SIGNATURE); at >= 0; at = bytes.indexOf(HELLO_SIGNATURE, at + 1)) {
      const start = at - LENGTH_BYTES;
      const length = start < 0 ? 0 : bytes.readUInt32LE(start);
      if (length < 2 || length > MAX_HELLO_BYTES) continue;
      const end = start + FRAME_HEADER_BYTES + length;
      if (end > bytes.length) {
        // Perhaps a HELLO that is not all here, perhaps debris with the real one inside: keep it and look further.
        if (firstOpen < 0) firstOpen = start;
        continue;
      }
      const hello = findHello(bytes.subarray(start + FRAME_HEADER_BYTES, end));
      if (hello === undefined) continue;
      if (hello.protocol !== AGENT_PROTOCOL) {
        throw agentViolation(`it speaks version ${hello.protocol}, this sbx speaks version ${AGENT_PROTOCOL}`);
      }
      return { hello, rest: bytes.subarray(end) };
    }
    this.#keep(bytes, firstOpen);
    return undefined;
  }

  /** Keeps a candidate, or the few bytes in which a header may have begun. */
  #keep(bytes: Buffer, firstOpen: number): void {
    const from = firstOpen >= 0 ? firstOpen : Math.max(0, bytes.length - FRAME_HEADER_BYTES + 1);
    this.#droppedBytes += from;
    if (this.#droppedBytes > MAX_RESYNC_BYTES) throw agentViolation(`no HELLO within ${MAX_RESYNC_BYTES} bytes`);
    this.#kept = Buffer.from(bytes.subarray(from));
  }
}
