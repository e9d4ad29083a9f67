/** The frame codec of the agent link. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  encodeCredit,
  encodeFrame,
  FRAME,
  FrameDecoder,
  type FrameType,
  MAX_DATA_BYTES,
} from "../../../src/protocol/agent-frames.ts";
import { HelloScanner } from "../../../src/protocol/agent-hello.ts";
import { encodeJsonFrame } from "../../../src/protocol/agent-frames.ts";
import { HELLO } from "./fake-agent.ts";

interface Decoded {
  type: FrameType;
  id: number;
  payload: string;
}

function decode(chunks: Uint8Array[]): Decoded[] {
  const frames: Decoded[] = [];
  const decoder = new FrameDecoder({
    frame: (type, id, payload) => frames.push({ type, id, payload: payload.toString("latin1") }),
    data: (id, part) => frames.push({ type: FRAME.data, id, payload: part.toString("latin1") }),
  });
  for (const chunk of chunks) decoder.push(Buffer.from(chunk));
  return frames;
}

/** A header as a guest may write it, right or wrong. */
function header(length: number, type: number, id: number, flags = 0, reserved = 0): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt8(type, 4);
  bytes.writeUInt8(flags, 5);
  bytes.writeUInt16LE(reserved, 6);
  bytes.writeUInt32LE(id, 8);
  return bytes;
}

const SAMPLE = Buffer.concat([
  encodeFrame(FRAME.reply, 7, Buffer.from('{"ok":null}')),
  encodeFrame(FRAME.end, 0xffff_ffff),
  encodeCredit(3, 0x8000_0001),
]);

test("a frame is laid out as docs/protocol-agent.md draws it", () => {
  assert.deepEqual([...encodeFrame(FRAME.data, 0x01020304, Buffer.from("ab"))], [2, 0, 0, 0, 5, 0, 0, 0, 4, 3, 2, 1, 97, 98]);
});

test("frames come out the same wherever the input is cut", () => {
  const whole = decode([SAMPLE]);
  assert.deepEqual(
    whole.map((f) => [f.type, f.id, f.payload]),
    [
      [FRAME.reply, 7, '{"ok":null}'],
      [FRAME.end, 0xffff_ffff, ""],
      [FRAME.credit, 3, "\x01\x00\x00\x80"],
    ],
  );
  for (let at = 0; at <= SAMPLE.length; at++) {
    assert.deepEqual(decode([SAMPLE.subarray(0, at), SAMPLE.subarray(at)]), whole);
  }
  assert.deepEqual(decode([...SAMPLE].map((byte) => Uint8Array.of(byte))), whole);
});

test("DATA is passed on in the parts in which it arrives, as views of the chunks", () => {
  const frame = encodeFrame(FRAME.data, 1, Buffer.from("abcdef"));
  const parts: Buffer[] = [];
  const decoder = new FrameDecoder({ frame: () => assert.fail(), data: (_id, part) => parts.push(part) });
  const first = frame.subarray(0, 14);
  decoder.push(first);
  decoder.push(frame.subarray(14));
  assert.deepEqual(parts.map(String), ["ab", "cdef"]);
  assert.equal(parts[0]?.buffer, first.buffer);
});

for (const [name, bytes, message] of [
  ["an unknown type", header(0, 11, 1), /a frame of type 11/],
  ["type 0", header(0, 0, 1), /a frame of type 0/],
  ["flags", header(0, FRAME.end, 1, 1), /reserved bits/],
  ["reserved bytes", header(0, FRAME.end, 1, 0, 256), /reserved bits/],
  ["an empty DATA", header(0, FRAME.data, 1), /a DATA frame of 0 bytes/],
  ["a DATA beyond 256 KiB", header(MAX_DATA_BYTES + 1, FRAME.data, 1), /a DATA frame of 262145 bytes/],
  ["a REPLY beyond 1 MiB", header(1024 * 1024 + 1, FRAME.reply, 1), /a REPLY frame of 1048577 bytes/],
  ["the greatest length", header(0xffff_ffff, FRAME.reply, 1), /a REPLY frame of 4294967295 bytes/],
  ["an END with a payload", header(1, FRAME.end, 1), /an? END frame of 1 bytes/],
  ["a CREDIT of three bytes", header(3, FRAME.credit, 1), /a CREDIT frame of 3 bytes/],
] as const) {
  test(`${name} is a violation as soon as the header is there`, () => {
    assert.throws(() => decode([bytes]), { code: "agent_protocol", message });
  });
}

test("a decoder that is stopped from within delivers nothing more", () => {
  const seen: number[] = [];
  const decoder = new FrameDecoder({
    frame: (_type, id) => {
      seen.push(id);
      decoder.stop();
    },
    data: () => assert.fail(),
  });
  decoder.push(Buffer.concat([encodeFrame(FRAME.end, 1), encodeFrame(FRAME.end, 2)]));
  assert.deepEqual(seen, [1]);
});

test("a HELLO is found behind debris, wherever the input is cut", () => {
  const hello = encodeJsonFrame(FRAME.hello, 0, HELLO);
  const debris = Buffer.concat([
    encodeFrame(FRAME.data, 5, Buffer.from("old output")).subarray(3),
    header(50, FRAME.hello, 0), // a HELLO that was cut off: the real one begins inside its length
    encodeFrame(FRAME.hello, 0, Buffer.from("{not json}")),
    Buffer.from([1, 0]),
  ]);
  const rest = Buffer.from("rest");
  const input = Buffer.concat([debris, hello, rest]);
  for (let at = 0; at <= input.length; at++) {
    const scanner = new HelloScanner();
    const first = scanner.push(input.subarray(0, at));
    const found = first ?? scanner.push(input.subarray(at));
    assert.deepEqual(found?.hello, HELLO, `cut at ${at}`);
    const missing = first === undefined ? 0 : input.length - at;
    assert.equal(found.rest.toString(), rest.subarray(0, rest.length - missing).toString(), `cut at ${at}`);
  }
});

test("a HELLO may leave out what is optional", () => {
  const found = new HelloScanner().push(encodeJsonFrame(FRAME.hello, 0, { protocol: 1, more: [1] }));
  assert.deepEqual(found?.hello, { protocol: 1, agent: "", arch: "", kernel: "" });
});

test("a HELLO of another version is refused with both versions", () => {
  assert.throws(() => new HelloScanner().push(encodeJsonFrame(FRAME.hello, 0, { protocol: 2 })), {
    code: "agent_protocol",
    message: /speaks version 2, this sbx speaks version 1/,
  });
});

test("the search for a HELLO ends after 16 MiB and keeps little meanwhile", () => {
  const scanner = new HelloScanner();
  const chunk = Buffer.alloc(1024 * 1024, 1);
  assert.throws(
    () => {
      for (let i = 0; i < 20; i++) scanner.push(chunk);
    },
    { code: "agent_protocol", message: /no HELLO within/ },
  );
});
