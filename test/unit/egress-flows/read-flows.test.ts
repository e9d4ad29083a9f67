/** Connections that have to be read: handed over whole where they can be, refused where they cannot. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { helloFor, helloMessage, records } from "../egress-tls/client-hello-samples.ts";
import { DENY, readAll } from "../egress-upstream/servers.ts";
import { collect, type Guest, startGuest, untilNoFlows } from "./guest-side.ts";

const A = "198.18.0.1";
const SIX = "fd73:6278:0:1::3";
const PUBLIC = "203.0.113.9";

/** Every connection has to be read, and no upstream is ever dialled by the router. */
async function startReadGuest(t: TestContext, limits = {}): Promise<Guest> {
  const upstream = { connect: () => assert.fail("dialled"), connectTls: () => assert.fail("dialled") };
  const guest = await startGuest(t, { upstream, limits });
  guest.mustRead = () => true;
  return guest;
}

async function refused(t: TestContext, bytes: Buffer, address = A) {
  const guest = await startReadGuest(t);
  const socket = guest.dial(address, 443);
  const seen = collect(socket);
  socket.write(bytes);
  const { text, end } = await seen;
  const event = await guest.nextEvent();
  socket.end();
  await untilNoFlows(guest);
  assert.equal(guest.intercepted.length, 0);
  assert.equal(event.verdict, "deny");
  return { text, end, reason: event.reason };
}

for (const [address, host] of [
  [A, "a.example"],
  [SIX, "c.example"],
] as const) {
  test(`TLS with the name of its connection is handed over from its first byte (${host})`, async (t) => {
    const guest = await startReadGuest(t);
    const hello = helloFor(host);
    const socket = guest.dial(address, 8443);
    socket.write(hello.subarray(0, 20));
    await new Promise((resolve) => setTimeout(resolve, 5));
    socket.end(Buffer.concat([hello.subarray(20), Buffer.from("more")]));
    const { kind, stream, facts } = await guest.nextIntercepted();
    assert.deepEqual([kind, facts.host, facts.port, facts.flow], ["tls", host, 8443, 1]);
    assert.ok("hello" in facts && facts.hello.serverName === host);
    assert.equal(await readAll(stream), `${hello.toString("latin1")}more`);
    stream.end("answer");
    assert.deepEqual(await collect(socket), { text: "answer", end: "fin" });
    await untilNoFlows(guest);
    assert.deepEqual(guest.events, []);
    assert.deepEqual(guest.released, [address]);
  });
}

test("HTTP is handed over from its first byte", async (t) => {
  const guest = await startReadGuest(t);
  const socket = guest.dial(A, 80);
  socket.write("GET / HT");
  await new Promise((resolve) => setTimeout(resolve, 5));
  socket.end("TP/1.1\r\n\r\n");
  const { kind, stream, facts } = await guest.nextIntercepted();
  assert.deepEqual([kind, facts.host, facts.port], ["plain", "a.example", 80]);
  assert.equal(await readAll(stream), "GET / HTTP/1.1\r\n\r\n");
  stream.end();
});

test("TLS to an address that has to be read is handed over where it names nobody", async (t) => {
  const guest = await startReadGuest(t);
  guest.dial(PUBLIC, 443).write(records(helloMessage({})));
  const { kind, facts } = await guest.nextIntercepted();
  assert.deepEqual([kind, facts.host], ["tls", PUBLIC]);
});

const UNRECOGNIZED_NAME = "\x15\x03\x03\x00\x02\x02\x70";
for (const [what, bytes, address, text, reason] of [
  [
    "for another name",
    helloFor("evil.example"),
    A,
    UNRECOGNIZED_NAME,
    "the TLS handshake is for evil.example, but the connection was opened for a.example",
  ],
  [
    "without a name",
    records(helloMessage({})),
    A,
    UNRECOGNIZED_NAME,
    "the TLS handshake names no server; connections to a.example have to be read, which needs its name",
  ],
  [
    "for a name at a bare address",
    helloFor("a.example"),
    PUBLIC,
    UNRECOGNIZED_NAME,
    "the TLS handshake is for a.example, but the connection was opened for 203.0.113.9",
  ],
  [
    "that is not valid",
    helloFor("a..example"),
    A,
    "\x15\x03\x03\x00\x02\x02\x32",
    "the connection has to be read and cannot be: its TLS handshake is not valid: a server name that is no host name",
  ],
] as const) {
  test(`TLS ${what} is refused with an alert`, async (t) => {
    assert.deepEqual(await refused(t, bytes, address), { text, end: "fin", reason });
  });
}

for (const [what, bytes] of [
  ["SSH", Buffer.from("SSH-2.0-x\r\n")],
  ["SSL 2", Buffer.of(0x80, 0x2e, 1, 0, 2)],
  ["a line of text", Buffer.from("hello there\r\n")],
] as const) {
  test(`${what} is reset: it cannot be read`, async (t) => {
    assert.deepEqual(await refused(t, bytes), {
      text: "",
      end: "reset",
      reason: "the connection has to be read and cannot be: it is neither TLS nor HTTP",
    });
  });
}

for (const [what, bytes] of [
  ["nothing", Buffer.alloc(0)],
  ["half a request line", Buffer.from("GET /")],
  ["half a hello", helloFor("a.example").subarray(0, 50)],
] as const) {
  test(`a guest that says ${what} and waits is reset in the end`, async (t) => {
    const guest = await startReadGuest(t, { firstBytesMs: 30 });
    const socket = guest.dial(A, 443);
    socket.write(bytes);
    assert.equal((await collect(socket)).end, "reset");
    assert.match((await guest.nextEvent()).reason ?? "", /it said nothing that can be read for too long$/);
    await untilNoFlows(guest);
  });

  test(`a guest that says ${what} and goes away leaves nothing behind`, async (t) => {
    const guest = await startReadGuest(t);
    const socket = guest.dial(A, 443);
    socket.end(bytes);
    assert.deepEqual(await collect(socket), { text: "", end: "fin" });
    const event = await guest.nextEvent();
    assert.deepEqual([event.verdict, event.error], ["allow", "the guest ended it before it asked for anything"]);
    await untilNoFlows(guest);
  });
}

test("a connection that has not said anything yet is ended when the policy changes", async (t) => {
  const guest = await startReadGuest(t);
  const socket = guest.dial(A, 443);
  while (guest.router.openFlows === 0) await new Promise((resolve) => setImmediate(resolve));
  guest.decide = () => DENY;
  guest.router.reconsider();
  assert.equal((await collect(socket)).end, "reset");
  assert.equal((await guest.nextEvent()).reason, DENY.reason);
});
