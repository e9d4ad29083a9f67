/** Connections that need not be read: what passes, what each end sees of the other, and what is refused all the same. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import { Tunnel } from "../../../src/egress/flows/tunnel.ts";
import { createUpstream } from "../../../src/egress/upstream/create-upstream.ts";
import {
  ALLOW,
  DENY,
  makeAuthority,
  makeServerIdentity,
  NEVER,
  readAll,
  serveTcp,
  serveTls,
  upstreamWith,
} from "../egress-upstream/servers.ts";
import { helloFor, helloMessage, records, RETRY_REQUEST } from "../egress-tls/client-hello-samples.ts";
import { collect, type Guest, startGuest, untilNoFlows } from "./guest-side.ts";

const A = "198.18.0.1";
const PUBLIC = "203.0.113.9";

function echo(socket: Socket): void {
  socket.pipe(socket);
}

/** An upstream that finds every address at the loopback. */
function everywhere() {
  const upstream = upstreamWith();
  return {
    connect: (target: { port: number }, signal: AbortSignal) =>
      upstream.connect({ host: "127.0.0.1", port: target.port }, signal),
    connectTls: () => assert.fail("not the router's"),
  };
}

async function dialEcho(t: TestContext, guest: Guest, onSocket: (socket: Socket) => void = echo): Promise<Socket> {
  return guest.dial(A, await serveTcp(t, onSocket));
}

test("a server that speaks first is heard before the guest has said anything", async (t) => {
  const guest = await startGuest(t);
  const socket = await dialEcho(t, guest, (peer) => {
    peer.write("220 welcome\r\n");
    peer.once("data", (line) => peer.end(`got ${String(line)}`));
  });
  const [greeting] = (await once(socket, "data")) as [Buffer];
  assert.equal(String(greeting), "220 welcome\r\n");
  socket.end("EHLO me\r\n");
  assert.deepEqual(await collect(socket), { text: "got EHLO me\r\n", end: "fin" });
  const event = await guest.nextEvent();
  const { time, ms, port, ...rest } = event;
  assert.ok(time > 0 && ms !== undefined && ms >= 0 && port !== undefined);
  assert.deepEqual(rest, {
    kind: "connection",
    verdict: "allow",
    flow: 1,
    host: "a.example",
    rule: null,
    reason: ALLOW.reason,
    via: "tunnel",
    address: "127.0.0.1",
    sentBytes: 9,
    receivedBytes: 26,
  });
  await untilNoFlows(guest);
  assert.deepEqual(guest.released, [A]);
});

test("each direction ends on its own, the guest's first", async (t) => {
  const guest = await startGuest(t);
  const socket = await dialEcho(t, guest, (peer) => {
    void readAll(peer).then((text) => peer.end(`after the end: ${text}`));
  });
  socket.end("\0all of it");
  assert.deepEqual(await collect(socket), { text: "after the end: \0all of it", end: "fin" });
});

test("each direction ends on its own, the upstream's first", async (t) => {
  const guest = await startGuest(t);
  const received = Promise.withResolvers<string>();
  const socket = await dialEcho(t, guest, (peer) => {
    peer.end("bye");
    void readAll(peer).then(received.resolve);
  });
  assert.deepEqual(await collect(socket), { text: "bye", end: "fin" });
  socket.end("still here");
  assert.equal(await received.promise, "still here");
  assert.equal((await guest.nextEvent()).error, undefined);
});

test("a reset of the upstream is a reset for the guest", async (t) => {
  const guest = await startGuest(t);
  const socket = await dialEcho(t, guest, (peer) => peer.once("data", () => peer.resetAndDestroy()));
  socket.write("\0");
  assert.equal((await collect(socket)).end, "reset");
  assert.equal((await guest.nextEvent()).error, "the upstream broke the connection off");
});

test("a reset of the guest is a reset for the upstream", async (t) => {
  const guest = await startGuest(t);
  const ended = Promise.withResolvers<string>();
  const socket = await dialEcho(t, guest, (peer) => {
    peer.on("error", (error: NodeJS.ErrnoException) => ended.resolve(error.code ?? ""));
    peer.on("end", () => ended.resolve("end"));
    peer.write("hello");
  });
  await once(socket, "data");
  socket.resetAndDestroy();
  assert.equal(await ended.promise, "ECONNRESET");
  assert.equal((await guest.nextEvent()).error, "the guest broke the connection off");
  await untilNoFlows(guest);
});

test("whenever a guest is reset after its end, its upstream's socket is closed as well", async (t) => {
  const port = await serveTcp(t, (peer) => void peer.on("end", () => peer.end()).resume());
  for (let round = 0; round < 40; round++) {
    const { socket } = await upstreamWith().connect({ host: "a.example", port }, NEVER);
    const guest = new Duplex({
      read: () => undefined,
      write: (_chunk, _encoding, done) => done(),
      final: () => undefined,
    });
    const closed = new Promise((resolve) => {
      const tunnel = new Tunnel({
        guest,
        upstream: socket,
        mayForward: () => true,
        onUpstreamChunk: () => undefined,
        onClosed: resolve,
      });
      tunnel.release(Buffer.alloc(round * 10_000));
    });
    guest.push(null);
    if (round % 4 === 1) await new Promise((resolve) => process.nextTick(resolve));
    if (round % 4 === 2) await new Promise((resolve) => setImmediate(resolve));
    if (round % 4 === 3) await once(guest, "end");
    guest.destroy();
    assert.equal(await closed, "guest");
    assert.ok(socket.closed);
  }
});

test("32 MiB pass both ways at once while the readers are slow, and nothing piles up", async (t) => {
  const guest = await startGuest(t);
  const size = 32 * 1024 * 1024;
  const chunk = Buffer.alloc(1024 * 1024, 0xff);
  const socket = await dialEcho(t, guest);
  let received = 0;
  let unread = 0;
  let largest = 0;
  const over = once(socket, "end");
  socket.on("data", (data: Buffer) => {
    received += data.length;
    largest = Math.max(largest, unread - received);
    if (received % 7 === 0) {
      socket.pause();
      setImmediate(() => socket.resume());
    }
  });
  for (let sent = 0; sent < size; sent += chunk.length) {
    unread += chunk.length;
    if (!socket.write(chunk)) await once(socket, "drain");
  }
  socket.end();
  await over;
  assert.equal(received, size);
  const event = await guest.nextEvent();
  assert.deepEqual([event.sentBytes, event.receivedBytes], [size, size]);
});

test("a guest that does not read stops the upstream", async (t) => {
  const guest = await startGuest(t);
  let written = 0;
  let isOver = false;
  const socket = await dialEcho(t, guest, (peer) => {
    const chunk = Buffer.alloc(256 * 1024);
    const write = () => {
      while (!isOver) {
        written += chunk.length;
        if (!peer.write(chunk)) break;
      }
    };
    peer.on("drain", write);
    write();
  });
  socket.pause();
  let before = -1;
  for (let quiet = 0; quiet < 20; quiet = before === written ? quiet + 1 : 0) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(written < 32 * 1024 * 1024, `${written} bytes were taken`);
  isOver = true;
  socket.destroy();
});

test("an upstream that refuses is a refusal for the guest, before its handshake is answered", async (t) => {
  const guest = await startGuest(t, { upstream: upstreamWith({ lookup: async () => ["127.0.0.3"] }) });
  const port = await serveTcp(t, echo);
  const socket = guest.dial(A, port);
  assert.equal((await collect(socket)).end, "reset");
  const event = await guest.nextEvent();
  assert.deepEqual([event.verdict, event.error], ["allow", `a.example:${port} (127.0.0.3) refused the connection`]);
  assert.equal(guest.flows[0]?.answer, "refused");
  await untilNoFlows(guest);
});

test("a name that resolves to a closed address is refused, and the audit log says by what", async (t) => {
  const guest = await startGuest(t, { upstream: upstreamWith({ decideAddress: () => DENY }) });
  const socket = guest.dial(A, await serveTcp(t, echo));
  assert.equal((await collect(socket)).end, "reset");
  const { verdict, reason, fix } = await guest.nextEvent();
  assert.deepEqual({ verdict, reason, fix }, { verdict: "deny", reason: DENY.reason, fix: DENY.fix });
});

test("a guest that gives up while its upstream is dialled ends the attempt", async (t) => {
  const lookedUp = Promise.withResolvers<void>();
  const guest = await startGuest(t, {
    upstream: createUpstream({
      decideAddress: () => ALLOW,
      overrides: [],
      proxy: null,
      extraRootsPem: [],
      lookup: () => {
        lookedUp.resolve();
        return new Promise(() => undefined);
      },
    }),
  });
  const socket = guest.dial(A, 443);
  await lookedUp.promise;
  socket.resetAndDestroy();
  const event = await guest.nextEvent();
  assert.deepEqual([event.verdict, event.error], ["allow", "the guest gave up before it was connected"]);
  await untilNoFlows(guest);
});

test("TLS is end to end: the guest sees the server's own certificate, and the server the guest's", async (t) => {
  const [servers, clients] = [makeAuthority(), makeAuthority()];
  const identity = makeServerIdentity(servers, "a.example");
  const client = makeServerIdentity(clients, "client.example");
  const seen: unknown[] = [];
  const port = await serveTls(
    t,
    { ...identity, requestCert: true, rejectUnauthorized: false, ca: clients.pem },
    (peer) => {
      seen.push(peer.getPeerX509Certificate()?.subject);
      peer.end("secret");
    },
  );
  const guest = await startGuest(t);
  const raw = guest.dial(A, port);
  const socket = connectTls({ socket: raw, servername: "a.example", ca: servers.pem, ...client });
  assert.equal(await readAll(socket), "secret");
  socket.end();
  assert.deepEqual(seen, ["CN=client.example"]);
  assert.equal((await guest.nextEvent()).via, "tunnel");
});

const ALERT_UNRECOGNIZED_NAME = "\x15\x03\x03\x00\x02\x02\x70";
const ALERT_DECODE_ERROR = "\x15\x03\x03\x00\x02\x02\x32";

async function refusedTunnel(t: TestContext, bytes: readonly Buffer[], address = A, prepare?: (guest: Guest) => void) {
  const guest = await startGuest(t, { upstream: everywhere() });
  prepare?.(guest);
  const received: Buffer[] = [];
  const port = await serveTcp(t, (peer) => peer.on("data", (chunk: Buffer) => received.push(chunk)));
  const socket = guest.dial(address, port);
  const seen = collect(socket);
  for (const chunk of bytes) {
    socket.write(chunk);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { text } = await seen;
  const event = await guest.nextEvent();
  socket.end();
  await untilNoFlows(guest);
  return { text, event, received: Buffer.concat(received) };
}

test("TLS for another name is refused with an alert, and nothing of it reaches the upstream", async (t) => {
  const { text, event, received } = await refusedTunnel(t, [helloFor("evil.example")]);
  assert.equal(text, ALERT_UNRECOGNIZED_NAME);
  assert.deepEqual(
    [event.verdict, event.reason],
    ["deny", "the TLS handshake is for evil.example, but the connection was opened for a.example"],
  );
  assert.equal(received.length, 0);
});

test("the same in records of a few bytes, in pieces", async (t) => {
  const hello = records(helloMessage({ names: [[0, Buffer.from("evil.example")]] }), 3);
  const { event, received } = await refusedTunnel(t, [hello.subarray(0, 8), hello.subarray(8, 90), hello.subarray(90)]);
  assert.match(event.reason ?? "", /evil\.example/);
  assert.equal(received.length, 0);
});

test("an encrypted hello whose outer name is another one is refused", async (t) => {
  const hello = records(
    helloMessage({ names: [[0, Buffer.from("front.example")]], extensions: [[0xfe0d, Buffer.alloc(40)]] }),
  );
  const { event } = await refusedTunnel(t, [hello]);
  assert.equal(
    event.reason,
    "the TLS handshake is for front.example, with another name encrypted, but the connection was opened for a.example",
  );
});

test("TLS that no client sends is refused, not tunnelled", async (t) => {
  const names: [number, Buffer][] = [
    [0, Buffer.from("a.example")],
    [0, Buffer.from("evil.example")],
  ];
  const { text, event, received } = await refusedTunnel(t, [records(helloMessage({ names }))]);
  assert.equal(text, ALERT_DECODE_ERROR);
  assert.match(event.reason ?? "", /^a TLS handshake that is not valid: /);
  assert.equal(received.length, 0);
});

test("a server that asks for a second hello gets it", async (t) => {
  const authority = makeAuthority();
  const identity = makeServerIdentity(authority, "a.example");
  // The client offers a key for its first curve only, so the server has to ask.
  const port = await serveTls(t, { ...identity, ecdhCurve: "P-384", minVersion: "TLSv1.3" }, (peer) =>
    peer.end("hello"),
  );
  const guest = await startGuest(t);
  const socket = connectTls({
    socket: guest.dial(A, port),
    servername: "a.example",
    ca: authority.pem,
    ecdhCurve: "X25519:P-384",
  });
  assert.equal(await readAll(socket), "hello");
  socket.end();
  assert.equal((await guest.nextEvent()).verdict, "allow");
});

for (const when of ["after the server has asked for it", "before"]) {
  test(`a second hello for another name is refused (${when})`, async (t) => {
    const guest = await startGuest(t);
    const received: Buffer[] = [];
    const socket = await dialEcho(t, guest, (peer) => {
      peer.on("error", () => undefined);
      peer.on("data", (chunk: Buffer) => received.push(chunk));
      if (when !== "before") peer.once("data", () => peer.write(RETRY_REQUEST));
    });
    const first = Buffer.concat([helloFor("a.example"), Buffer.of(20, 3, 3, 0, 1, 1)]);
    if (when === "before") {
      socket.write(Buffer.concat([first, helloFor("evil.example")]));
    } else {
      socket.write(first);
      await once(socket, "data");
      socket.write(helloFor("evil.example"));
    }
    assert.equal(
      (await guest.nextEvent()).reason,
      "the TLS handshake is for evil.example, but the connection was opened for a.example",
    );
    socket.end();
    await untilNoFlows(guest);
    assert.ok(!Buffer.concat(received).includes("evil"));
  });
}

for (const [what, hello] of [
  ["its own name", helloFor("a.example")],
  ["its own name in other letters", helloFor("A.Example.")],
  ["no name", records(helloMessage({}))],
] as const) {
  test(`TLS with ${what} passes as it came`, async (t) => {
    const guest = await startGuest(t);
    const socket = await dialEcho(t, guest);
    socket.end(hello);
    assert.equal((await collect(socket)).text, hello.toString("latin1"));
  });
}

test("TLS to an address may name a host, unless that is denied or has to be read", async (t) => {
  const allowed = await startGuest(t, { upstream: everywhere() });
  const socket = allowed.dial(PUBLIC, await serveTcp(t, echo));
  socket.end(helloFor("other.example"));
  assert.equal((await collect(socket)).text, helloFor("other.example").toString("latin1"));

  const rule = { id: "r1", text: "deny evil.example", source: { kind: "default" as const } };
  const denied = await refusedTunnel(t, [helloFor("evil.example")], PUBLIC, (guest) => {
    guest.decide = ({ host }) => (host === "evil.example" ? { ...DENY, rule } : ALLOW);
  });
  assert.deepEqual([denied.event.rule, denied.received.length], [rule, 0]);

  const read = await refusedTunnel(t, [helloFor("secret.example")], PUBLIC, (guest) => {
    guest.mustRead = ({ host }) => host === "secret.example";
  });
  assert.equal(
    read.event.reason,
    "connections to secret.example have to be read, which needs its name to be looked up here; the guest dialled 203.0.113.9",
  );
  assert.equal(read.received.length, 0);
});

test("what a tunnel does not show is not judged: a denied name's address, dialled without naming it", async (t) => {
  const guest = await startGuest(t, { upstream: everywhere() });
  const rule = { id: "r1", text: "deny evil.example", source: { kind: "default" as const } };
  guest.decide = ({ host }) => (host === "evil.example" ? { ...DENY, rule } : ALLOW);
  const socket = guest.dial(PUBLIC, await serveTcp(t, echo));
  const hello = records(helloMessage({}));
  socket.end(hello);
  assert.equal((await collect(socket)).text, hello.toString("latin1"));
});

for (const [what, bytes] of [
  [
    "the name in an encrypted hello",
    records(helloMessage({ names: [[0, Buffer.from("a.example")]], extensions: [[0xfe0d, Buffer.alloc(40)]] })),
  ],
  [
    "TLS behind a header of the PROXY protocol",
    Buffer.concat([Buffer.from("PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"), helloFor("evil.example")]),
  ],
  [
    "TLS behind a binary header of the PROXY protocol",
    Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "latin1"), helloFor("evil.example")]),
  ],
  ["TLS behind STARTTLS", Buffer.concat([Buffer.from("EHLO a\r\nSTARTTLS\r\n"), helloFor("evil.example")])],
] as const) {
  test(`what a tunnel does not show is not judged: ${what}`, async (t) => {
    const guest = await startGuest(t);
    const socket = await dialEcho(t, guest);
    socket.end(bytes);
    assert.equal((await collect(socket)).text, bytes.toString("latin1"));
  });
}

for (const [what, request] of [
  ["an HTTP/1.1 request", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"],
  ["HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\n\r\n"],
] as const) {
  test(`${what} is handed over whole, and the upstream sees none of it`, async (t) => {
    const guest = await startGuest(t);
    const received: Buffer[] = [];
    const closed = Promise.withResolvers<void>();
    const socket = await dialEcho(t, guest, (peer) => {
      peer.on("data", (chunk: Buffer) => received.push(chunk));
      peer.on("end", () => peer.end());
      peer.on("close", () => closed.resolve());
    });
    socket.write(request.slice(0, 7));
    await new Promise((resolve) => setTimeout(resolve, 5));
    socket.write(request.slice(7));
    const { kind, stream, facts } = await guest.nextIntercepted();
    assert.deepEqual([kind, facts.host, facts.flow, facts.decision], ["plain", "a.example", 1, ALLOW]);
    socket.end("and more");
    assert.equal(await readAll(stream), `${request}and more`);
    await closed.promise;
    assert.deepEqual(received, []);
    assert.equal(guest.router.openFlows, 1);
    stream.end();
    await untilNoFlows(guest);
    assert.deepEqual(guest.events, []);
    assert.deepEqual(guest.released, [A]);
  });
}

for (const [what, bytes] of [
  ["SSH", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u5\r\n"],
  ["git", "0032git-upload-pack /project.git\0host=a.example\0"],
  ["Redis", "*1\r\n$4\r\nPING\r\n"],
  ["RTSP", "OPTIONS rtsp://a.example/ RTSP/1.0\r\n"],
  ["SIP", "INVITE sip:me@a.example SIP/2.0\r\n"],
  ["memcached", "get key\r\n"],
  ["PostgreSQL", "\0\0\0\x08\x04\xd2\x16\x2f"],
  ["one byte", "x"],
] as const) {
  test(`${what} passes untouched`, async (t) => {
    const guest = await startGuest(t);
    const socket = await dialEcho(t, guest);
    socket.end(Buffer.from(bytes, "latin1"));
    assert.deepEqual(await collect(socket), { text: bytes, end: "fin" });
    assert.equal(guest.intercepted.length, 0);
  });
}

test("half a line that is followed by a pause gets through", async (t) => {
  const guest = await startGuest(t, { limits: { holdMs: 20 } });
  const socket = await dialEcho(t, guest);
  socket.write("login: me");
  const [reply] = (await once(socket, "data")) as [Buffer];
  assert.equal(String(reply), "login: me");
});

for (const [what, first, rest] of [
  ["a request", Buffer.from("GET / HT"), Buffer.from("TP/1.1\r\nHost: evil.example\r\n\r\n")],
  ["a hello for another name", helloFor("evil.example").subarray(0, 30), helloFor("evil.example").subarray(30)],
] as const) {
  test(`${what} with a pause in it is cut off before the upstream has it whole`, async (t) => {
    const guest = await startGuest(t, { limits: { holdMs: 20 } });
    const received: Buffer[] = [];
    const gotFirst = Promise.withResolvers<void>();
    const socket = await dialEcho(t, guest, (peer) => {
      peer.on("error", () => undefined);
      peer.on("data", (chunk: Buffer) => {
        received.push(chunk);
        gotFirst.resolve();
      });
    });
    const seen = collect(socket);
    socket.write(first);
    await gotFirst.promise;
    socket.write(rest);
    await seen;
    assert.equal((await guest.nextEvent()).verdict, "deny");
    socket.destroy();
    await untilNoFlows(guest);
    assert.deepEqual(Buffer.concat(received), first);
  });
}

test("a request after the server has spoken is refused: nobody could have read what came before", async (t) => {
  const guest = await startGuest(t);
  const socket = await dialEcho(t, guest, (peer) => peer.write("220 welcome\r\n"));
  await once(socket, "data");
  const seen = collect(socket);
  socket.write("GET / HTTP/1.1\r\n\r\n");
  assert.equal((await seen).end, "reset");
  const event = await guest.nextEvent();
  assert.deepEqual(
    [event.verdict, event.reason],
    ["deny", "an HTTP request that comes too late or too slowly to be read"],
  );
});
