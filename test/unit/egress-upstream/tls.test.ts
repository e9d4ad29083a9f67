/** The upstream's certificate is verified whatever happens, and what is wrong with it is told in words. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import type { ConnectionTarget } from "../../../src/policy/spec.ts";
import {
  failureOf,
  makeAuthority,
  makeSelfSigned,
  makeServerIdentity,
  NEVER,
  readAll,
  serveTcp,
  serveTls,
  upstreamWith,
} from "./servers.ts";

const HOST = "api.example.com";
const authority = makeAuthority();
const good = makeServerIdentity(authority, HOST);
const trusting = (options = {}) => upstreamWith({ extraRootsPem: [authority.pem], ...options });
const greet = (socket: TLSSocket) => void socket.end("hello");

function secure(target: ConnectionTarget, upstream = trusting(), alpnProtocols: readonly string[] = []) {
  return upstream.connectTls(target, { alpnProtocols, signal: NEVER });
}

test("a server with the right certificate is connected, and told the name and the protocols", async (t) => {
  const names: unknown[] = [];
  const port = await serveTls(t, { ...good, ALPNProtocols: ["h2", "http/1.1"] }, (socket) => {
    names.push(socket.servername);
    greet(socket);
  });
  const { socket, address } = await secure({ host: HOST, port }, trusting(), ["http/1.1", "h2"]);
  assert.equal(socket.alpnProtocol, "h2");
  assert.equal(address, "127.0.0.1");
  assert.equal(await readAll(socket), "hello");
  assert.deepEqual(names, [HOST]);
});

test("a certificate for an address counts for that address, without a name in the hello", async (t) => {
  const names: unknown[] = [];
  const port = await serveTls(t, makeServerIdentity(authority, "127.0.0.1"), (socket) => {
    names.push(socket.servername);
    greet(socket);
  });
  assert.equal(await readAll((await secure({ host: "127.0.0.1", port })).socket), "hello");
  assert.deepEqual(names, [false]);
});

for (const [what, identity, text] of [
  ["expired", makeServerIdentity(authority, HOST, [-3, -1]), "has expired"],
  ["not yet valid", makeServerIdentity(authority, HOST, [1, 3]), "is not valid yet"],
  ["of another name", makeServerIdentity(authority, "other.example"), "is for other.example"],
  ["of an address", makeServerIdentity(authority, "192.0.2.7"), "is for 192.0.2.7"],
  [
    "of an unknown authority",
    makeServerIdentity(makeAuthority(), HOST),
    "is signed by an authority that this machine does not know",
  ],
  ["signed by itself", makeSelfSigned(HOST), "is self-signed"],
] as const) {
  test(`a certificate that is ${what} is refused`, async (t) => {
    const port = await serveTls(t, identity, greet);
    const error = await failureOf(secure({ host: HOST, port }));
    assert.deepEqual([error.code, error.message], ["certificate", `the certificate of ${HOST}:${port} ${text}`]);
  });
}

test("a name's certificate does not count for its address, nor one for another address", async (t) => {
  const port = await serveTls(t, makeServerIdentity(authority, "127.0.0.2"), greet);
  const error = await failureOf(secure({ host: "127.0.0.1", port }));
  assert.equal(error.message, `the certificate of 127.0.0.1:${port} is for 127.0.0.2`);
});

test("no variable of the environment turns verification off", async (t) => {
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  t.after(() => delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"]);
  const port = await serveTls(t, makeServerIdentity(authority, HOST, [-3, -1]), greet);
  assert.equal((await failureOf(secure({ host: HOST, port }))).code, "certificate");
  const wrong = await serveTls(t, makeServerIdentity(authority, "other.example"), greet);
  assert.equal((await failureOf(secure({ host: HOST, port: wrong }))).code, "certificate");
});

test("what a certificate says of itself is cut and printable in the message", async (t) => {
  const name = `\u001b[31m${"x".repeat(400)}.example`;
  const port = await serveTls(t, makeServerIdentity(authority, name), greet);
  const { message } = await failureOf(secure({ host: HOST, port }));
  assert.match(message, /^[\x20-\x7e…]+$/);
  assert.ok(message.length < 300);
});

test("a server of TLS 1.1 is refused", async (t) => {
  const port = await serveTls(
    t,
    { ...good, minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
    greet,
  );
  assert.equal((await failureOf(secure({ host: HOST, port }))).code, "tls");
});

test("a server that speaks something else is told apart", async (t) => {
  const port = await serveTcp(t, (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const error = await failureOf(secure({ host: HOST, port }));
  assert.deepEqual([error.code, error.message], ["tls", `${HOST}:${port} does not speak TLS`]);
});

test("a server that resets, closes or says nothing during the handshake is told apart", async (t) => {
  const resets = await serveTcp(t, (socket) => socket.once("data", () => socket.resetAndDestroy()));
  const closes = await serveTcp(t, (socket) => socket.once("data", () => socket.end()));
  const hangs = await serveTcp(t, (socket) => socket.resume());
  for (const port of [resets, closes]) {
    const error = await failureOf(secure({ host: HOST, port }));
    assert.deepEqual(
      [error.code, error.message],
      ["reset", `${HOST}:${port} closed the connection during the TLS handshake`],
    );
  }
  const error = await failureOf(secure({ host: HOST, port: hangs }, trusting({ timeouts: { tlsMs: 50 } })));
  assert.deepEqual(
    [error.code, error.message],
    ["timeout", `${HOST}:${hangs} did not finish the TLS handshake within 0.05 s`],
  );
});

test("a handshake ends when its signal does, and its socket with it", async (t) => {
  let closed: Promise<unknown> | undefined;
  const controller = new AbortController();
  const port = await serveTcp(t, (socket) => {
    socket.resume();
    closed = once(socket, "close");
    socket.once("end", () => socket.end());
    controller.abort();
  });
  const attempt = trusting().connectTls({ host: HOST, port }, { alpnProtocols: [], signal: controller.signal });
  assert.equal((await failureOf(attempt)).code, "aborted");
  await closed;
});

test("a session is resumed with the same host and port, and with no other", async (t) => {
  const options = { ...makeServerIdentity(authority, HOST), sessionIdContext: "test" };
  const port = await serveTls(t, options, greet);
  const upstream = trusting({ lookup: async () => ["127.0.0.1"] });
  const visit = async (host: string) => {
    const { socket } = await secure({ host, port }, upstream);
    const reused = socket.isSessionReused();
    await readAll(socket);
    return reused;
  };
  assert.equal(await visit(HOST), false);
  assert.equal(await visit(HOST), true);
  // The same server under another name: resumed, it would pass without its certificate being looked at.
  const error = await failureOf(secure({ host: "other.example", port }, upstream));
  assert.equal(error.code, "certificate");
});

test("Node's own roots stay trusted beside extra ones, and nothing else is", async (t) => {
  const port = await serveTls(t, good, greet);
  assert.equal((await failureOf(secure({ host: HOST, port }, upstreamWith()))).code, "certificate");
  assert.equal(
    (await failureOf(secure({ host: HOST, port }, upstreamWith({ extraRootsPem: [makeAuthority().pem] })))).code,
    "certificate",
  );
});
