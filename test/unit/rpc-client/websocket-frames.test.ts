/** WebSocket frames from a server, however they are cut; and what no server may send. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import fc from "fast-check";
import {
  encodeFrameHeader,
  FrameReader,
  OPCODES,
  WebSocketError,
} from "../../../src/runtime/sandbox/websocket-frames.ts";

interface Frame {
  opcode: number;
  payload: Uint8Array;
  fin?: boolean;
  first?: number;
  second?: number;
}

/** `ws` writes the frames that our reader reads: two implementations of the RFC, not one checking itself. */
const { Sender } = createRequire(import.meta.url)("ws") as {
  Sender: { frame: (data: Buffer, options: Record<string, unknown>) => Buffer[] };
};

function frame({ opcode, payload, fin = true, first = 0, second = 0 }: Frame): Buffer {
  const parts = Sender.frame(Buffer.from(payload), { fin, opcode, mask: false, readOnly: true, rsv1: false });
  const bytes = Buffer.concat(parts);
  bytes[0] = (bytes[0] ?? 0) | first;
  bytes[1] = (bytes[1] ?? 0) | second;
  return bytes;
}

function read(bytes: Buffer, cut: number, limit = 1024 * 1024): string[] {
  const seen: string[] = [];
  const reader = new FrameReader(
    {
      message: (opcode, parts, totalBytes) => {
        const payload = Buffer.concat(parts);
        assert.equal(payload.length, totalBytes);
        seen.push(`${opcode}:${payload.toString("latin1")}`);
      },
      control: (opcode, payload) => seen.push(`c${opcode}:${payload.toString("latin1")}`),
    },
    limit,
  );
  for (let at = 0; at < bytes.length; at += cut) reader.push(bytes.subarray(at, at + cut));
  return seen;
}

function violation(bytes: Buffer, limit?: number): number {
  try {
    read(bytes, bytes.length, limit);
  } catch (error) {
    assert.ok(error instanceof WebSocketError, String(error));
    return error.closeCode;
  }
  throw new Error("it was accepted");
}

test("messages arrive whole and in order, wherever the chunks are cut and whatever comes between fragments", () => {
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.constantFrom(125, 126, 127, 65_535, 65_536).map((length) => Buffer.alloc(length, 120)),
  );
  const message = fc.record({ payload, split: fc.boolean(), opcode: fc.constantFrom(OPCODES.text, OPCODES.binary) });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 4 }), fc.constantFrom(1, 2, 3, 7, 1000, 70_000), (messages, cut) => {
      const bytes: Buffer[] = [];
      const wanted: string[] = [];
      for (const { payload: whole, split, opcode } of messages) {
        if (split) {
          const half = whole.length >> 1;
          bytes.push(frame({ opcode, payload: whole.subarray(0, half), fin: false }));
          bytes.push(frame({ opcode: OPCODES.ping, payload: Buffer.from("p") }));
          bytes.push(frame({ opcode: OPCODES.continuation, payload: whole.subarray(half) }));
          wanted.push("c9:p");
        } else bytes.push(frame({ opcode, payload: whole }));
        wanted.push(`${opcode}:${Buffer.from(whole).toString("latin1")}`);
      }
      assert.deepEqual(read(Buffer.concat(bytes), cut), wanted);
    }),
    { numRuns: 60 },
  );
});

test("frames that are masked, reserved, of unknown kind, or fragments out of order end the connection", () => {
  const payload = Buffer.from("x");
  const text = OPCODES.text;
  assert.equal(violation(frame({ opcode: text, payload, second: 0x80 })), 1002);
  for (const first of [0x10, 0x20, 0x40]) assert.equal(violation(frame({ opcode: text, payload, first })), 1002);
  for (const opcode of [3, 7, 11, 15]) assert.equal(violation(frame({ opcode, payload })), 1002);
  assert.equal(violation(frame({ opcode: OPCODES.continuation, payload })), 1002);
  const begun = frame({ opcode: text, payload, fin: false });
  assert.equal(violation(Buffer.concat([begun, frame({ opcode: text, payload })])), 1002);
});

test("control frames that are long or fragmented end the connection", () => {
  assert.equal(violation(frame({ opcode: OPCODES.ping, payload: Buffer.alloc(126) })), 1002);
  assert.equal(violation(frame({ opcode: OPCODES.ping, payload: Buffer.alloc(1), fin: false })), 1002);
});

test("a message beyond the limit is refused by its header, in one frame or in many", () => {
  const payload = Buffer.alloc(60, 1);
  assert.equal(violation(frame({ opcode: OPCODES.binary, payload }).subarray(0, 2), 50), 1009);
  const fragments = [
    frame({ opcode: OPCODES.binary, payload: payload.subarray(0, 30), fin: false }),
    frame({ opcode: OPCODES.continuation, payload: payload.subarray(0, 30), fin: false }),
  ];
  assert.equal(violation(Buffer.concat(fragments), 50), 1009);
  assert.equal(violation(Buffer.from([0x82, 127, 0, 1, 0, 0, 0, 0, 0, 0])), 1009);
  assert.equal(violation(Buffer.from([0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255])), 1009);
});

test("our own frames are masked with the zero key, so that the payload goes out as it is", () => {
  assert.deepEqual([...encodeFrameHeader(OPCODES.text, 5)], [0x81, 0x85, 0, 0, 0, 0]);
  assert.deepEqual([...encodeFrameHeader(OPCODES.binary, 126)], [0x82, 0xfe, 0, 126, 0, 0, 0, 0]);
  assert.deepEqual([...encodeFrameHeader(OPCODES.binary, 65_536)], [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
});

test("random bytes either are frames or end the connection; nothing else happens", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.integer({ min: 1, max: 10 }), (bytes, cut) => {
      try {
        read(Buffer.from(bytes), cut);
      } catch (error) {
        assert.ok(error instanceof WebSocketError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
