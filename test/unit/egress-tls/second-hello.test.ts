/** The second ClientHello of a connection that is not read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SecondHelloWatch, type SecondHelloVerdict } from "../../../src/egress/tls/second-hello.ts";
import { helloFor, helloMessage, records, RETRY_REQUEST } from "./client-hello-samples.ts";

const CHANGE_CIPHER_SPEC = Buffer.of(20, 3, 3, 0, 1, 1);
const EARLY_DATA = Buffer.concat([Buffer.of(23, 3, 3, 0, 30), Buffer.alloc(30, 22)]);
const SECOND = records(helloMessage({ names: [[0, Buffer.from("b.example")]] }), 20);

/** What is found when the client's bytes come in pieces of `pieceBytes`. */
function watch(client: Buffer, pieceBytes: number, server: Buffer = RETRY_REQUEST): SecondHelloVerdict | null {
  const watching = new SecondHelloWatch();
  for (const byte of server) watching.onServer(Buffer.of(byte));
  for (let at = 0; at < client.length; at += pieceBytes) {
    const verdict = watching.onClient(client.subarray(at, at + pieceBytes));
    if (verdict !== null) {
      assert.ok(watching.isOver);
      return verdict;
    }
  }
  return null;
}

for (const pieceBytes of [1, 2, 5, 6, 7, 33, 10_000]) {
  test(`a second hello is found behind other records, in pieces of ${pieceBytes}`, () => {
    const client = Buffer.concat([EARLY_DATA, CHANGE_CIPHER_SPEC, EARLY_DATA, SECOND, EARLY_DATA]);
    const verdict = watch(client, pieceBytes);
    assert.equal(verdict?.kind === "hello" && verdict.hello.serverName, "b.example");
    assert.equal(watch(client, pieceBytes, Buffer.alloc(0))?.kind, "hello");
    assert.equal(watch(client.subarray(0, client.length - EARLY_DATA.length - 1), pieceBytes), null);
  });
}

test("a second hello that is not valid is malformed", () => {
  const verdict = watch(helloFor("a..example"), 9);
  assert.deepEqual(verdict, { kind: "malformed", reason: "a server name that is no host name" });
});

test("a server whose first answer is no request for a second hello ends the watch", () => {
  const ordinary = Buffer.from(RETRY_REQUEST);
  ordinary[20] = 0;
  for (const answer of [ordinary, Buffer.of(21, 3, 3, 0, 2, 2, 40), Buffer.from("HTTP/1.1 400\r\n")]) {
    const watching = new SecondHelloWatch();
    watching.onServer(answer);
    assert.ok(watching.isOver);
    assert.equal(watching.onClient(SECOND), null);
  }
  const undecided = new SecondHelloWatch();
  undecided.onServer(ordinary.subarray(0, 42));
  assert.ok(!undecided.isOver);
});

for (const [what, client, reason] of [
  ["an empty record", Buffer.concat([Buffer.of(22, 3, 3, 0, 0), SECOND]), "a record of 0 bytes"],
  ["an empty record behind data", Buffer.concat([EARLY_DATA, Buffer.of(23, 3, 3, 0, 0)]), "a record of 0 bytes"],
  ["a record over the limit", Buffer.of(23, 3, 3, 0xff, 0xff), "a record of 65535 bytes"],
  ["another handshake", Buffer.of(22, 3, 3, 0, 4, 0, 0, 0, 0), "a handshake before the server has answered"],
  ["no TLS", Buffer.from("GET / HTTP/1.1\r\n"), "what follows the ClientHello is no TLS"],
  ["a record of another version", Buffer.of(23, 2, 3, 0, 1, 1), "what follows the ClientHello is no TLS"],
] as const) {
  test(`${what} where a second hello may come is malformed, at once or byte by byte`, () => {
    assert.deepEqual(watch(client, 1), { kind: "malformed", reason });
    assert.deepEqual(watch(client, 10_000), { kind: "malformed", reason });
  });
}

test("a server's warnings do not end the watch, however many", () => {
  const warning = Buffer.of(21, 3, 3, 0, 2, 1, 112);
  for (const count of [1, 2, 500]) {
    const server = Buffer.concat([...Array.from({ length: count }, () => warning), RETRY_REQUEST]);
    assert.equal(watch(SECOND, 7, server)?.kind, "hello");
    const ordinary = Buffer.concat([warning, changedAnswer()]);
    assert.equal(watch(SECOND, 7, ordinary), null);
  }
});

function changedAnswer(): Buffer {
  const answer = Buffer.from(RETRY_REQUEST);
  answer[20] = 0;
  return answer;
}
