/** What is taken for HTTP, and when that is certain. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FirstBytes } from "../../../src/egress/flows/first-bytes.ts";
import { RequestLineScanner } from "../../../src/egress/flows/request-line.ts";

function scan(text: string): string {
  return new RequestLineScanner().scan(Buffer.from(text, "latin1"));
}

function scanSlowly(text: string): { verdict: string; at: number } {
  const scanner = new RequestLineScanner();
  const bytes = Buffer.from(text, "latin1");
  for (let at = 1; at <= bytes.length; at++) {
    const verdict = scanner.scan(bytes.subarray(0, at));
    if (verdict !== "more") return { verdict, at };
  }
  return { verdict: "more", at: bytes.length };
}

for (const text of [
  "GET / HTTP/1.1\r\n",
  "GET / HTTP/1.0\n",
  "\r\n\r\nGET / HTTP/1.1\r\n",
  "  GET / HTTP/1.1\r\n",
  "GET\t/\tHTTP/1.1\r\n",
  "GET\r/\rHTTP/1.1\r\n",
  "GET / http/1.1\r\n",
  "GET /a b c HTTP/1.1\r\n",
  "GET /\x01\xff HTTP/1.1\r\n",
  "GET / HTTP/1.1\rHost: x\r\r",
  "get / HTTP/1.1\r\n",
  "M-SEARCH * HTTP/1.1\r\n",
  "CONNECT a.example:443 HTTP/1.1\r\n",
  "GET http://a.example/ HTTP/1.1\r\n",
  "PRI * HTTP/2.0\r\n\r\n",
  "GET / HTTP/9.9\r\n",
  `${"A".repeat(65)} / HTTP/1.1\r\n`,
  `${"A".repeat(5000)} / HTTP/1.1\r\n`,
]) {
  test(`${JSON.stringify(text)} is HTTP as soon as its version begins`, () => {
    assert.equal(scan(text), "http");
    const { verdict, at } = scanSlowly(text);
    assert.deepEqual(
      [verdict, at],
      ["http", /HTTP\/\d/i.exec(text)?.index === undefined ? -1 : text.search(/HTTP\/\d/i) + 6],
    );
  });
}

for (const [text, at] of [
  ["SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 32],
  ["0032git-upload-pack /p\0host=a\0\n", 31],
  ["*1\r\n$4\r\n", 4],
  ["\x16\x03\x01", 1],
  ["\0\0\0\x08", 1],
  ["PING\n", 5],
  ["GET / RTSP/1.0\r\n", 16],
  ["GET /\r\n", 7],
  ['{"a": 1}', 1],
  [`${"A".repeat(65)}\n`, 66],
  ["GETX/HTTP/1.1\r\n", 5],
] as const) {
  test(`${JSON.stringify(text)} is something else as soon as that is certain`, () => {
    assert.equal(scan(text), "other");
    assert.deepEqual(scanSlowly(text), { verdict: "other", at });
  });
}

test("a request line beyond the limit is taken for one, as are a method and empty lines without end", () => {
  assert.equal(scan("A".repeat(16_000)), "more");
  assert.equal(scan("A".repeat(17_000)), "http");
  assert.equal(scan(`GET /${"a".repeat(16_000)}`), "more");
  assert.equal(scan(`GET /${"a".repeat(17_000)}`), "http");
  assert.equal(scan("\r\n".repeat(9000)), "http");
});

test("bytes that come one by one are all kept, and cost no copy of everything each", () => {
  const first = new FirstBytes();
  const text = `GET /${"a".repeat(15_000)} HTTP/1.1\r\n`;
  let verdict = first.push(Buffer.from("G"));
  for (const character of text.slice(1, -5)) verdict = first.push(Buffer.from(character));
  assert.equal(verdict.kind, "more");
  assert.equal(first.push(Buffer.from(text.slice(-5))).kind, "http");
  assert.equal(first.bytes.toString(), text);
});
