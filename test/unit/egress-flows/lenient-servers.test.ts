/** Servers that read a connection's first bytes more leniently than they should, and guests that count on it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { makeAuthority, makeServerIdentity, serveTls } from "../egress-upstream/servers.ts";
import { type GoServer, startGoServer } from "./go-server.ts";
import { collect, startGuest, untilNoFlows } from "./guest-side.ts";

const A = "198.18.0.1";

let server: GoServer;
before(async () => (server = await startGoServer()));
after(async () => server[Symbol.asyncDispose]());

/** A TLS client on a connection on which something has been sent already. @returns whether its handshake succeeded */
async function handshake(socket: Duplex, servername: string): Promise<boolean> {
  const secure = connectTls({ socket, servername, rejectUnauthorized: false });
  return new Promise((resolve) => {
    secure.on("error", () => resolve(false));
    secure.once("close", () => resolve(false));
    secure.once("secureConnect", () => resolve(true));
  }).then((done) => {
    secure.destroy();
    return done === true;
  });
}

test("a server of Go's library is reached under its own name, and under no other", async (t) => {
  const guest = await startGuest(t);
  assert.equal(await handshake(guest.dial(A, server.tlsPort), "a.example"), true);
  assert.equal(await handshake(guest.dial(A, server.tlsPort), "evil.example"), false);
  await untilNoFlows(guest);
  assert.deepEqual(server.seen, ["handshake for a.example"]);
});

for (const [what, bytes] of [
  ["a warning", Buffer.of(21, 3, 1, 0, 2, 1, 100)],
  ["two warnings", Buffer.of(21, 3, 3, 0, 2, 1, 0x5a, 21, 3, 1, 0, 2, 1, 100)],
  ["a warning of version 0", Buffer.of(21, 0, 0, 0, 2, 1, 100)],
  ["a warning of version 15.255", Buffer.of(21, 15, 255, 0, 2, 1, 100)],
] as const) {
  for (const pieceBytes of [1, 100]) {
    test(`${what} before a ClientHello hides no name from the router (in pieces of ${pieceBytes})`, async (t) => {
      const guest = await startGuest(t);
      const socket = guest.dial(A, server.tlsPort);
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        socket.write(bytes.subarray(at, at + pieceBytes));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.equal(await handshake(socket, "evil.example"), false);
      const { verdict, reason } = await guest.nextEvent();
      assert.equal(verdict, "deny");
      assert.match(reason ?? "", /^a TLS handshake that is not valid: /);
      assert.ok(!server.seen.includes("handshake for evil.example"));
    });
  }
}

test("a request whose method is long is a request: the router hands it over", async (t) => {
  const guest = await startGuest(t);
  const socket = guest.dial(A, server.httpPort);
  const over = collect(socket);
  socket.end(`${"A".repeat(65)} / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`);
  const handedOver = guest.nextIntercepted().then(({ kind, stream }) => {
    stream.destroy();
    return kind;
  });
  assert.equal(await Promise.race([handedOver, over.then(({ text }) => text)]), "plain");
  assert.ok(!server.seen.includes("request for evil.example"));
});

/** Changes what a real client sends after its first ClientHello, in front of the router. */
function changing(socket: Socket, change: (chunk: Buffer) => Buffer): Duplex {
  let count = 0;
  const duplex = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => void socket.write(count++ === 0 ? chunk : change(chunk), () => done()),
    final: (done) => void socket.end(() => done()),
  });
  socket.on("data", (chunk: Buffer) => duplex.push(chunk));
  socket.once("close", () => duplex.destroy());
  return duplex;
}

for (const [what, before] of [
  ["nothing", []],
  ["an empty record", [22, 3, 3, 0, 0]],
  ["several empty records", [22, 3, 3, 0, 0, 22, 3, 3, 0, 0, 20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 0]],
] as const) {
  test(`a server of OpenSSL sees no second ClientHello with another name, whatever comes before it (${what})`, async (t) => {
    const guest = await startGuest(t);
    const names: string[] = [];
    const identity = makeServerIdentity(makeAuthority(), "a.example");
    const SNICallback = (name: string, done: (error: null) => void) => {
      names.push(name);
      done(null);
    };
    // The client offers a key for its first curve only, so the server asks for a second hello.
    const port = await serveTls(
      t,
      { ...identity, ecdhCurve: "P-384", minVersion: "TLSv1.3", SNICallback },
      () => undefined,
    );
    const raw = guest.dial(A, port);
    await once(raw, "connect");
    const relay = changing(raw, (chunk) => {
      const at = chunk.indexOf("a.example");
      if (at === -1) return chunk;
      const changed = Buffer.from(chunk);
      changed.write("b.example", at);
      return Buffer.concat([Buffer.from(before), changed]);
    });
    const secure = connectTls({
      socket: relay,
      servername: "a.example",
      rejectUnauthorized: false,
      ecdhCurve: "X25519:P-384",
    });
    secure.on("error", () => undefined);
    assert.equal((await guest.nextEvent()).verdict, "deny");
    await untilNoFlows(guest);
    assert.deepEqual(names, ["a.example"]);
  });
}
