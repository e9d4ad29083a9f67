/** What is read out of the first bytes of a guest's connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClientHelloScanner, type HelloVerdict, MAX_HELLO_BYTES } from "../../../src/egress/tls/client-hello.ts";
import { captureHello, helloFor, helloMessage, records, serverNameExtension } from "./client-hello-samples.ts";

function scan(bytes: Buffer): HelloVerdict {
  return new ClientHelloScanner().scan(bytes);
}

/** The verdict when the bytes come one by one, and where it came. */
function scanSlowly(bytes: Buffer): { verdict: HelloVerdict; at: number } {
  const scanner = new ClientHelloScanner();
  for (let at = 1; at <= bytes.length; at++) {
    const verdict = scanner.scan(bytes.subarray(0, at));
    if (verdict.kind !== "more") return { verdict, at };
  }
  return { verdict: { kind: "more" }, at: bytes.length };
}

function assertMalformed(verdict: HelloVerdict, reason: RegExp): void {
  assert.match(verdict.kind === "malformed" ? verdict.reason : `not malformed but ${verdict.kind}`, reason);
}

test("a real client's name and protocols are read, and ECH is not seen where there is none", async () => {
  const bytes = await captureHello({ servername: "API.Example.com", ALPNProtocols: ["h2", "http/1.1"] });
  assert.deepEqual(scan(bytes), {
    kind: "hello",
    hello: { serverName: "api.example.com", alpn: ["h2", "http/1.1"], ech: false },
    endByte: bytes.length,
  });
});

test("a real client that names no server is a hello without a name", async () => {
  const verdict = scan(await captureHello({ minVersion: "TLSv1.2", maxVersion: "TLSv1.2" }));
  assert.equal(verdict.kind === "hello" && verdict.hello.serverName, null);
});

test("a hello is read the same wherever it is cut, and over many records", () => {
  const message = helloMessage({ names: [[0, Buffer.from("a.example")]], alpn: ["h2"] });
  const hello = { serverName: "a.example", alpn: ["h2"], ech: false };
  for (const recordBytes of [2, 3, 5, 40, 16_384]) {
    const bytes = records(message, recordBytes);
    const expected = { kind: "hello", hello, endByte: bytes.length };
    assert.deepEqual(scan(bytes), expected, `records of ${recordBytes}`);
    assert.deepEqual(scanSlowly(bytes), { verdict: expected, at: bytes.length });
  }
});

test("what comes after the hello's record, such as early data, changes nothing", () => {
  const bytes = Buffer.concat([helloFor("a.example"), Buffer.of(20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 2, 9, 9)]);
  const verdict = scan(bytes);
  assert.equal(verdict.kind === "hello" && verdict.endByte, helloFor("a.example").length);
});

test("a final dot and upper case are not part of a name", () => {
  const verdict = scan(helloFor("A.EXAMPLE."));
  assert.equal(verdict.kind === "hello" && verdict.hello.serverName, "a.example");
});

test("an encrypted hello is noticed beside the outer name", () => {
  const verdict = scan(
    records(helloMessage({ names: [[0, Buffer.from("a.example")]], extensions: [[0xfe0d, Buffer.alloc(9)]] })),
  );
  assert.deepEqual(verdict.kind === "hello" && verdict.hello, { serverName: "a.example", alpn: [], ech: true });
});

for (const [what, bytes] of [
  ["SSH", Buffer.from("SSH-2.0-x\r\n")],
  ["HTTP", Buffer.from("GET / HTTP/1.1\r\n")],
  ["PostgreSQL's SSLRequest", Buffer.of(0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f)],
  ["SSL 2", Buffer.of(0x80, 0x2e, 1, 0, 2)],
  ["a length that begins like a record", Buffer.of(22, 0, 0, 0, 9, 0)],
  ["a length that begins like an alert", Buffer.of(21, 0, 0, 0, 9, 0)],
  ["data that begins like an alert", Buffer.of(21, 16, 0, 0, 2, 1, 100)],
  ["a type of record that there is not, followed by a version", Buffer.of(25, 3, 3, 0, 2, 2, 40)],
] as const) {
  test(`${what} is not TLS`, () => {
    assert.equal(scan(bytes).kind, "other");
    assert.equal(scanSlowly(bytes).verdict.kind, "other");
  });
}

const NAME: readonly [number, Buffer] = [0, Buffer.from("a.example")];
const HELLO = helloFor("a.example");
const MESSAGE = helloMessage({ names: [NAME] });

function changed(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
}

for (const [what, bytes, reason] of [
  [
    "two names",
    records(helloMessage({ names: [NAME, [0, Buffer.from("b.example")]] })),
    /bytes after the list|list of server names/,
  ],
  ["a name of another type", records(helloMessage({ names: [[1, Buffer.from("a.example")]] })), /type 1/],
  ["no name in the list", records(helloMessage({ names: [] })), /vector of 0/],
  ["an empty name", helloFor(""), /vector of 0/],
  ["a name with a NUL", helloFor("a.example\0.b"), /no host name/],
  ["a name with a space", helloFor("a.example b"), /no host name/],
  ["a name that is not ASCII", helloFor("a.ex\u00e4mple"), /no host name/],
  ["a name with an empty label", helloFor("a..example"), /no host name/],
  ["a name that is only a dot", helloFor("."), /no host name/],
  ["a name of 300 characters", helloFor("a.".repeat(150) + "b"), /no host name/],
  [
    "the server's name twice",
    records(helloMessage({ names: [NAME], extensions: [[0, serverNameExtension([NAME])]] })),
    /extension 0 twice/,
  ],
  ["an extension that is longer than the list", changed(HELLO, HELLO.length - 16, 0xff), /beyond the end|bytes/],
  ["a hello that shares its record", records(Buffer.concat([MESSAGE, Buffer.of(1)])), /shares its record/],
  ["another handshake first", changed(HELLO, 5, 2), /does not begin/],
  ["an empty record", Buffer.of(22, 3, 1, 0, 0, 1), /record of 0 bytes/],
  ["a record over the limit", Buffer.of(22, 3, 1, 0x40, 1, 1), /record of 16385 bytes/],
  ["a hello in a record of an unknown version", changed(HELLO, 1, 9), /unknown version/],
  [
    "an alert in the middle",
    Buffer.concat([records(MESSAGE.subarray(0, 9)), Buffer.of(21, 3, 1, 0, 2, 1, 0)]),
    /another type/,
  ],
  [
    "a version that changes in the middle",
    Buffer.concat([records(MESSAGE.subarray(0, 9)), Buffer.of(22, 4, 1, 0, 2, 1, 0)]),
    /unknown version/,
  ],
  ["a hello over the limit", Buffer.of(22, 3, 1, 0, 4, 1, 0, 0x80, 0), new RegExp(String(MAX_HELLO_BYTES + 4))],
  ["a hello in hundreds of records", records(MESSAGE, 1), /more than 64 records/],
] as const) {
  test(`${what} is malformed, at once or byte by byte`, () => {
    assertMalformed(scan(bytes), reason);
    assertMalformed(scanSlowly(bytes).verdict, reason);
  });
}

test("a verdict stays what it was", () => {
  const scanner = new ClientHelloScanner();
  const first = scanner.scan(Buffer.from("SSH-"));
  assert.equal(scanner.scan(Buffer.concat([Buffer.from("SSH-"), HELLO])), first);
});

test("every proper prefix of a hello wants more", () => {
  for (let at = 0; at < HELLO.length; at++) assert.equal(scan(HELLO.subarray(0, at)).kind, "more");
});
