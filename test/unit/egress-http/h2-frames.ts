/** HTTP/2 by hand, for peers that do what no library lets one do. */
import type { Socket } from "node:net";

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const TYPE = {
  data: 0,
  headers: 1,
  rst: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  more: 9,
} as const;
export const FLAG = { ack: 1, endStream: 1, endHeaders: 4 } as const;

export interface Frame {
  type: number;
  flags: number;
  stream: number;
  payload: Buffer;
}

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export const SETTINGS = frame(TYPE.settings, 0, 0);
export const SETTINGS_ACK = frame(TYPE.settings, FLAG.ack, 0);

export function reset(stream: number, code: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(code);
  return frame(TYPE.rst, 0, stream, payload);
}

/** HPACK without compression: RFC 7541, 6.2.2 (not indexed) or 6.2.1 (put into the table). */
export function field(name: string, value: string, indexed = false): Buffer {
  return Buffer.concat([Buffer.from([indexed ? 0x40 : 0x00]), text(name), text(value)]);
}

/** What a GET of `/` begins with. */
export function getBlock(host: string, scheme: "https" | "http" = "https"): Buffer {
  return Buffer.concat([Buffer.from([0x82, scheme === "https" ? 0x87 : 0x86, 0x84]), field(":authority", host)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** RFC 7541, 5.1, with a prefix of 7 bits that is not Huffman's. */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest >>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** Calls back for each frame that comes. @param skipBytes before the first, as a client's preface is */
export function readFrames(socket: Socket, onFrame: (frame: Frame) => void, skipBytes = 0): void {
  let buffered = Buffer.alloc(0);
  let skip = skipBytes;
  socket.on("data", (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    if (buffered.length < skip) return;
    buffered = buffered.subarray(skip);
    skip = 0;
    while (buffered.length >= 9 && buffered.length >= 9 + buffered.readUIntBE(0, 3)) {
      const end = 9 + buffered.readUIntBE(0, 3);
      const [type = 0, flags = 0] = buffered.subarray(3, 5);
      onFrame({ type, flags, stream: buffered.readUInt32BE(5), payload: buffered.subarray(9, end) });
      buffered = buffered.subarray(end);
    }
  });
}
