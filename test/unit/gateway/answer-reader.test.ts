/** When no answer is under way on a connection: only then may another server take the next request. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AnswerReader } from "../../../src/gateway/answer-reader.ts";

const HELLO = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const PLAIN: readonly (readonly [string, string])[] = [
  ["GET", HELLO],
  ["POST", CHUNKED],
  ["GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"],
  ["GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n"],
  ["HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"],
  ["GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"],
];

test("it is at rest exactly when every request has had its whole answer, wherever the bytes are cut", () => {
  const exchanges = fc.array(fc.constantFrom(...PLAIN), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(exchanges, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (all, sizes) => {
      const reader = new AnswerReader();
      for (const [method] of all) reader.expect(method);
      const bytes = Buffer.from(all.map(([, answer]) => answer).join(""));
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        assert.equal(reader.isAtRest, false);
        const size = sizes[turn % sizes.length] ?? 1;
        reader.see(bytes.subarray(at, at + size));
        at += size;
      }
      assert.equal(reader.isAtRest, true);
    }),
  );
});

const NEVER: readonly (readonly [string, string])[] = [
  ["an end by the connection's end", "HTTP/1.1 200 OK\r\n\r\nhello"],
  ["a connection that ends", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: keep-alive, Close\r\n\r\nhello"],
  ["HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"],
  ["another coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello"],
  ["an upgrade", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
  ["more than was asked for", `${HELLO}${HELLO}`],
  ["no HTTP", "SSH-2.0-x\r\n\r\n"],
  ["chunks that are none", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
  ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 9\r\n\r\nhello"],
  ["two codings", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n"],
  ["a length and a coding", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["a blank before a colon", "HTTP/1.1 200 OK\r\ntransfer-encoding : chunked\r\ncontent-length: 5\r\n\r\nhello"],
  [
    "a field that is folded",
    "HTTP/1.1 200 OK\r\nx: a\r\n transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\nhello",
  ],
  ["a line end of its own", "HTTP/1.1 200 OK\r\nx: a\ncontent-length: 9\r\ncontent-length: 5\r\n\r\nhello"],
  ["a line end in an interim answer", "HTTP/1.1 103 Early Hints\r\nx: a\n\n\r\n\r\n" + HELLO],
  ["a head without an end", `HTTP/1.1 200 OK\r\nx: ${"y".repeat(70_000)}`],
];

for (const [what, answer] of NEVER) {
  test(`what cannot be told is taken for something under way: ${what}`, () => {
    const reader = new AnswerReader();
    reader.expect("GET");
    reader.see(Buffer.from(answer));
    assert.equal(reader.isAtRest, false);
  });
}

test("a head that comes byte by byte costs no more than its length, and is read", () => {
  const reader = new AnswerReader();
  reader.expect("GET");
  const answer = Buffer.from(`HTTP/1.1 200 OK\r\nx: ${"y".repeat(15_000)}\r\ncontent-length: 1\r\n\r\nz`);
  const whole = Buffer.concat.bind(Buffer);
  let copied = 0;
  Buffer.concat = (list, length) => {
    copied += list.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return whole(list, length);
  };
  try {
    for (const byte of answer) reader.see(Buffer.of(byte));
  } finally {
    Buffer.concat = whole;
  }
  assert.ok(copied < 2 * answer.length, `${copied} bytes`);
  assert.equal(reader.isAtRest, true);
});

test("garbage never throws", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), (chunks) => {
      const reader = new AnswerReader();
      reader.expect("GET");
      for (const chunk of chunks) reader.see(Buffer.from(chunk));
      assert.equal(typeof reader.isAtRest, "boolean");
    }),
  );
});
