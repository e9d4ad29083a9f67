/** The codec of copy streams: what is written is read again however it is cut, and nothing but the format is read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CHUNK_BYTES, type CopyEntry, type CopyEvent } from "../../../src/runtime/copy/copy-records.ts";
import { RecordDecoder } from "../../../src/runtime/copy/record-decoder.ts";
import { RecordEncoder } from "../../../src/runtime/copy/record-encoder.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import * as raw from "./raw-records.ts";

const EMPTY = Buffer.alloc(0);

function decode(chunks: readonly Buffer[]): CopyEvent[] {
  const decoder = new RecordDecoder();
  const events = chunks.flatMap((chunk) => [...decoder.push(chunk)]);
  decoder.finish();
  return events;
}

/** Neighbouring data events as one: where a chunk ends is no part of the content. */
function content(events: readonly CopyEvent[]): Buffer {
  return Buffer.concat(
    events.map((event) =>
      event.kind === "data" ? event.bytes : event.kind === "hole" ? Buffer.alloc(event.bytes) : EMPTY,
    ),
  );
}

function fileEntry(size: number, more: Partial<CopyEntry> = {}): CopyEntry {
  return { type: "file", mode: 0o644, mtimeMs: 0, size, path: Buffer.from("f"), link: EMPTY, ...more };
}

function encodeFile(bytes: Buffer): Buffer[] {
  const encoder = new RecordEncoder();
  encoder.entry(fileEntry(bytes.length));
  let at = 0;
  while (at < bytes.length) {
    const room = encoder.reserveData(bytes.length - at);
    const count = bytes.copy(room, 0, at, at + room.length);
    encoder.commitData(room, count);
    at += count;
  }
  encoder.endOfFile();
  encoder.end();
  return encoder.take();
}

function refusal(records: Buffer[]): string {
  try {
    decode([Buffer.concat(records)]);
  } catch (error) {
    assert.ok(error instanceof SbxError);
    assert.equal(error.code, "copy_refused");
    return error.message.replace("the sandbox sent a copy that breaks the rules: ", "");
  }
  return "accepted";
}

test("an entry arrives with every field as it was, also when its time is before 1970 or its size beyond 2^32", () => {
  const component = fc
    .uint8Array({ minLength: 1, maxLength: 40 })
    .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f || byte === 0x2e ? 0x41 : byte))));
  const entry = fc.record(
    {
      type: fc.constant("file" as const),
      mode: fc.integer({ min: 0, max: 0o7777 }),
      mtimeMs: fc.integer({ min: -1e14, max: 1e14 }),
      size: fc.constant(0),
      path: fc.array(component, { minLength: 1, maxLength: 5 }).map((parts) => joinSlash(parts)),
      link: fc.constant(EMPTY),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(entry, fc.integer({ min: 1, max: 64 }), (wanted, cut) => {
      const encoder = new RecordEncoder();
      encoder.entry(wanted);
      encoder.endOfFile();
      encoder.end();
      const [first] = decode(cutUp(Buffer.concat(encoder.take()), cut));
      assert.deepEqual(first, { kind: "entry", entry: wanted });
    }),
  );
  const encoder = new RecordEncoder();
  encoder.entry(fileEntry(2 ** 40 + 5));
  encoder.hole(2 ** 40 + 5);
  encoder.endOfFile();
  encoder.end();
  const events = decode(encoder.take());
  assert.deepEqual(events[1], { kind: "hole", bytes: 2 ** 40 + 5 });
});

test("content arrives byte for byte, with runs of zeros as holes wherever they lie", () => {
  const piece = fc.record({
    bytes: fc.integer({ min: 1, max: 200_000 }),
    value: fc.constantFrom(0, 0, 1, 255),
  });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), fc.constantFrom(1000, 65_536, CHUNK_BYTES), (pieces, cut) => {
      const bytes = Buffer.concat(pieces.map(({ bytes: length, value }) => Buffer.alloc(length, value)));
      const chunks = encodeFile(bytes);
      for (const chunk of chunks) assert.ok(chunk.length <= CHUNK_BYTES);
      assert.ok(content(decode(cutUp(Buffer.concat(chunks), cut))).equals(bytes));
    }),
    { numRuns: 60 },
  );
});

test("a megabyte of zeros travels as one hole record", () => {
  const stream = Buffer.concat(encodeFile(Buffer.alloc(1024 * 1024)));
  assert.ok(stream.length < 200, `${stream.length} bytes`);
});

test("the decoder gives the same events for a stream in one piece and byte by byte", () => {
  const stream = Buffer.concat([
    raw.directory("d"),
    raw.file("d/a", "hello"),
    raw.skipped("d/s", "a socket"),
    raw.symlink("d/l", "../x"),
    raw.hardLink("d/h", "d/a"),
    raw.end(),
  ]);
  const shape = (events: CopyEvent[]): string =>
    events
      .filter(({ kind }) => kind !== "data")
      .map((event) => JSON.stringify(event))
      .join("\n");
  const whole = decode([stream]);
  const bytewise = decode(cutUp(stream, 1));
  assert.equal(shape(bytewise), shape(whole));
  assert.ok(content(bytewise).equals(content(whole)));
  assert.equal(whole.length, 8);
});

test("a stream that breaks the order or the sizes of records is refused with the reason", () => {
  const { data, directory, end, endOfFile, entry, file, hole, record, skipped } = raw;
  const cases: [string, Buffer[]][] = [
    ["no end", []],
    ["no end", [file("a", "x")]],
    ["bytes after its end", [end(), Buffer.from([0])]],
    ["its end inside a file", [entry({ path: "a", size: 1 }), end()]],
    ["data outside of a file", [data("x"), end()]],
    ["data outside of a file", [directory("d"), data("x"), end()]],
    ["a hole outside of a file", [hole(1), end()]],
    ["the end of a file outside of one", [endOfFile(), end()]],
    ["0 of 1 bytes of 'a'", [entry({ path: "a", size: 1 }), endOfFile(), end()]],
    ["more for 'a' than its size", [entry({ path: "a", size: 1 }), data("xy"), endOfFile(), end()]],
    ["more for 'a' than its size", [entry({ path: "a", size: 1 }), hole(2), endOfFile(), end()]],
    ["'b' before the end of 'a'", [entry({ path: "a", size: 1 }), file("b"), end()]],
    ["a size beyond any file's", [entry({ path: "a", size: 2 ** 53 }), end()]],
    ["a size beyond any file's", [entry({ path: "a", size: 5 }), hole(2n ** 64n - 1n), end()]],
    ["a record of kind 9", [record(9)]],
    ["a record of kind 0", [record(0)]],
    ["a record of kind 2 with 1048577 bytes", [entry({ path: "a", size: 2 ** 30 }), record(2, EMPTY, 1_048_577)]],
    ["a record of kind 6 with 1 bytes", [record(6, Buffer.from("x"))]],
    ["a record of kind 4 with 4294967295 bytes", [record(4, EMPTY, 0xffff_ffff)]],
    ["a hole without a length", [entry({ path: "a", size: 5 }), record(3, Buffer.alloc(4))]],
    ["an entry that is too short", [record(1, Buffer.alloc(24))]],
    ["an entry of type 5", [entry({ path: "a", type: 5 })]],
    ["an entry of type 0", [entry({ path: "a", type: 0 })]],
    ["a link text for 'a', which is no link", [entry({ path: "a", link: "b" })]],
    ["a symbolic link that no file system can hold: 'a'", [entry({ path: "a", type: 3 })]],
    ["a symbolic link that no file system can hold: 'a'", [entry({ path: "a", type: 3, link: "a\0b" })]],
    ["a symbolic link that no file system can hold: 'a'", [entry({ path: "a", type: 3, link: "x".repeat(4096) })]],
    ["a skipped record that is too short", [record(5, Buffer.from([1]))]],
    ["a skipped record that is too short for its path", [record(5, Buffer.from([9, 0, 65]))]],
    ["accepted", [skipped("any\0/../thing", "reason"), end()]],
    ["accepted", [entry({ path: "a", size: 3 }), hole(1), data("x"), hole(1), endOfFile(), end()]],
  ];
  for (const [reason, records] of cases) assert.equal(refusal(records), reason);
});

test("an entry whose lengths do not add up is refused", () => {
  const good = raw.entry({ path: "abc" });
  const longPath = Buffer.from(good);
  longPath.writeUInt16LE(4000, 5 + 21);
  assert.equal(refusal([longPath]), "an entry that is too short for its path");
  const shortPath = Buffer.from(good);
  shortPath.writeUInt16LE(1, 5 + 21);
  assert.equal(refusal([shortPath]), "an entry that does not end with its link");
});

test("random bytes never make the decoder fail in any other way than refusing", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 50 }), (bytes, cut) => {
      try {
        decode(cutUp(Buffer.from(bytes), cut));
      } catch (error) {
        assert.ok(error instanceof SbxError && error.code === "copy_refused", String(error));
      }
    }),
  );
});

function cutUp(bytes: Buffer, length: number): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += length) chunks.push(bytes.subarray(at, at + length));
  return chunks;
}

function joinSlash(parts: readonly Buffer[]): Buffer {
  return Buffer.concat(parts.flatMap((part, index) => (index === 0 ? [part] : [Buffer.from("/"), part])));
}
