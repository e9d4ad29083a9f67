/** Connections by way of a corporate proxy. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectSocket, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { chooseProxy } from "../../../src/egress/upstream/proxy-choice.ts";
import { proxySettings, type ProxySettings } from "../../../src/policy/proxy-settings.ts";
import {
  DENY,
  failureOf,
  makeAuthority,
  makeServerIdentity,
  NEVER,
  readAll,
  serveTcp,
  serveTls,
  upstreamWith,
} from "./servers.ts";

interface Seen {
  requests: string[];
}

/** Reads a request and connects to the loopback port that it names, whatever its host. */
function actAsProxy(socket: Socket, seen: Seen): void {
  socket.once("data", (head: Buffer) => {
    seen.requests.push(head.toString("latin1"));
    const port = Number(/^CONNECT \S+:(\d+) /.exec(head.toString("latin1"))?.[1]);
    const upstream = connectSocket({ host: "127.0.0.1", port });
    upstream.on("error", () => socket.destroy());
    // Together with the first bytes of the upstream, so that they arrive with the answer.
    upstream.once("data", (first: Buffer) => {
      socket.write(Buffer.concat([Buffer.from("HTTP/1.1 200 Connection established\r\nX-A: b\r\n\r\n"), first]));
      upstream.pipe(socket);
    });
    socket.pipe(upstream);
  });
}

/** As {@link actAsProxy}, but answers before the upstream speaks. */
function actAsEagerProxy(socket: Socket, seen: Seen): void {
  socket.once("data", (head: Buffer) => {
    seen.requests.push(head.toString("latin1"));
    const port = Number(/^CONNECT \S+:(\d+) /.exec(head.toString("latin1"))?.[1]);
    const upstream = connectSocket({ host: "127.0.0.1", port }, () => {
      socket.write("HTTP/1.0 200 OK\r\n\r\n");
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on("error", () => socket.destroy());
  });
}

function settings(url: string, noProxy: string[] = []): ProxySettings {
  return { http: url, https: url, noProxy };
}

async function serveProxy(t: TestContext, onSocket: (socket: Socket, seen: Seen) => void) {
  const seen: Seen = { requests: [] };
  const port = await serveTcp(t, (socket) => onSocket(socket, seen));
  return { port, seen, url: `http://127.0.0.1:${port}/` };
}

test("a connection goes through the proxy by name, and no byte after the answer's head is lost", async (t) => {
  const port = await serveTcp(t, (socket) => socket.end("220 welcome"));
  const proxy = await serveProxy(t, actAsProxy);
  const upstream = upstreamWith({ proxy: settings(proxy.url), lookup: () => assert.fail("looked up") });
  const { socket, address } = await upstream.connect({ host: "mail.example", port }, NEVER);
  assert.equal(address, `proxy 127.0.0.1:${proxy.port}`);
  assert.equal(await readAll(socket), "220 welcome");
  assert.deepEqual(proxy.seen.requests, [
    `CONNECT mail.example:${port} HTTP/1.1\r\nHost: mail.example:${port}\r\n\r\n`,
  ]);
});

test("a user and a password in the URL are sent as Basic, decoded", async (t) => {
  const port = await serveTcp(t, (socket) => socket.end("hello"));
  const proxy = await serveProxy(t, actAsProxy);
  const url = proxy.url.replace("//", "//me:p%40ss%3Aword@");
  const { socket } = await upstreamWith({ proxy: settings(url) }).connect({ host: "a.example", port }, NEVER);
  await readAll(socket);
  const credentials = Buffer.from("me:p@ss:word").toString("base64");
  assert.match(proxy.seen.requests[0] ?? "", new RegExp(`\r\nProxy-Authorization: Basic ${credentials}\r\n\r\n$`));
});

test("an IPv6 address is named in brackets", async (t) => {
  const port = await serveTcp(t, (socket) => socket.end("hello"));
  const proxy = await serveProxy(t, actAsProxy);
  const { socket } = await upstreamWith({ proxy: settings(proxy.url) }).connect({ host: "2001:db8::1", port }, NEVER);
  await readAll(socket);
  assert.match(
    proxy.seen.requests[0] ?? "",
    new RegExp(`^CONNECT \\[2001:db8::1\\]:${port} HTTP/1.1\r\nHost: \\[2001:db8::1\\]:${port}\r\n`),
  );
});

test("TLS inside the tunnel is with the target, and verified for it", async (t) => {
  const authority = makeAuthority();
  const port = await serveTls(t, makeServerIdentity(authority, "api.example.com"), (socket) => socket.end("hello"));
  const proxy = await serveProxy(t, actAsEagerProxy);
  const upstream = upstreamWith({ proxy: settings(proxy.url), extraRootsPem: [authority.pem] });
  const options = { alpnProtocols: [], signal: NEVER };
  const { socket } = await upstream.connectTls({ host: "api.example.com", port }, options);
  assert.equal(await readAll(socket), "hello");
  const error = await failureOf(upstream.connectTls({ host: "other.example", port }, options));
  assert.equal(error.code, "certificate");
});

test("a proxy of an https URL is spoken to in TLS, with its own certificate verified", async (t) => {
  const authority = makeAuthority();
  const port = await serveTls(t, makeServerIdentity(authority, "api.example.com"), (socket) => socket.end("hello"));
  const seen: Seen = { requests: [] };
  const proxyPort = await serveTls(t, makeServerIdentity(authority, "proxy.example"), (socket) =>
    actAsEagerProxy(socket, seen),
  );
  const options = { alpnProtocols: [], signal: NEVER };
  const through = (name: string) =>
    upstreamWith({ proxy: settings(`https://${name}:${proxyPort}/`), extraRootsPem: [authority.pem] });
  const { socket } = await through("proxy.example").connectTls({ host: "api.example.com", port }, options);
  assert.equal(await readAll(socket), "hello");
  const error = await failureOf(through("false.example").connectTls({ host: "api.example.com", port }, options));
  assert.deepEqual(
    [error.code, error.message],
    ["certificate", `the proxy of this machine: the certificate of false.example:${proxyPort} is for proxy.example`],
  );
});

test("a literal address that the policy keeps closed stays closed behind a proxy, and the proxy is not asked", async (t) => {
  const proxy = await serveProxy(t, actAsProxy);
  const upstream = upstreamWith({ proxy: settings(proxy.url), decideAddress: () => DENY });
  const error = await failureOf(upstream.connect({ host: "169.254.169.254", port: 80 }, NEVER));
  assert.equal(error.code, "address_denied");
  assert.deepEqual(proxy.seen.requests, []);
});

test("pinned addresses and this machine's loopback are dialled directly", async (t) => {
  const port = await serveTcp(t, (socket) => socket.end("hello"));
  const upstream = upstreamWith({
    proxy: settings("http://127.0.0.1:9/"),
    overrides: [{ host: "pinned.example", port, address: "127.0.0.1" }],
  });
  for (const host of ["pinned.example", "host.sbx.internal", "127.0.0.1", "localhost"]) {
    assert.equal((await upstream.connect({ host, port }, NEVER)).address, "127.0.0.1", host);
  }
});

for (const [what, answer, message] of [
  ["wants a password", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", /wants a user and a password in its URL$/],
  ["says no", "HTTP/1.1 403 Forb\u001bidden\r\n\r\n", /refused a\.example:443: 403 Forb\?idden$/],
  ["is none", "SSH-2.0-x\r\n\r\n", /does not answer as an HTTP proxy does$/],
  ["talks without end", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(40_000)}`, /answered with more than 16384 bytes$/],
  ["hangs up", "HTTP/1.1 200 OK\r\n", /closed the connection$/],
] as const) {
  test(`a proxy that ${what} is told apart, and its connection closed`, async (t) => {
    let closed: Promise<unknown> | undefined;
    const proxy = await serveProxy(t, (socket) => {
      closed = once(socket, "close");
      socket.once("data", () => socket.end(Buffer.from(answer, "latin1")));
    });
    const error = await failureOf(
      upstreamWith({ proxy: settings(proxy.url) }).connect({ host: "a.example", port: 443 }, NEVER),
    );
    assert.equal(error.code, "proxy");
    assert.match(error.message, new RegExp(`^the proxy 127\\.0\\.0\\.1:${proxy.port} ${message.source}`));
    await closed;
  });
}

test("a password that a proxy refuses is not asked for again, nor repeated", async (t) => {
  const proxy = await serveProxy(t, (socket) => socket.once("data", () => socket.end("HTTP/1.1 407 No\r\n\r\n")));
  const url = proxy.url.replace("//", "//me:hunter2@");
  const error = await failureOf(
    upstreamWith({ proxy: settings(url) }).connect({ host: "a.example", port: 443 }, NEVER),
  );
  assert.equal(error.message, `the proxy 127.0.0.1:${proxy.port} refused its user or password`);
});

test("a proxy that hangs, and one that is not there, are errors with their own words", async (t) => {
  const proxy = await serveProxy(t, (socket) => socket.resume());
  const hanging = upstreamWith({ proxy: settings(proxy.url), timeouts: { proxyMs: 30 } });
  const error = await failureOf(hanging.connect({ host: "a.example", port: 443 }, NEVER));
  assert.deepEqual(
    [error.code, error.message],
    ["timeout", `the proxy 127.0.0.1:${proxy.port} did not answer within 0.03 s`],
  );
  const gone = upstreamWith({ proxy: settings("http://127.0.0.1:1/") });
  const refused = await failureOf(gone.connect({ host: "a.example", port: 443 }, NEVER));
  assert.deepEqual(
    [refused.code, refused.message],
    ["refused", "the proxy of this machine: 127.0.0.1:1 refused the connection"],
  );
});

const PROXY = "http://proxy.example:3128";
for (const [noProxy, host, port, direct] of [
  ["", "a.example", 443, false],
  ["*", "a.example", 443, true],
  ["a.example", "a.example", 443, true],
  ["a.example", "b.a.example", 443, true],
  ["a.example", "ba.example", 443, false],
  [".a.example", "a.example", 443, true],
  [".a.example", "b.a.example", 443, true],
  ["*.a.example", "b.a.example", 443, true],
  ["A.Example.", "a.example", 443, true],
  ["b.example, a.example", "a.example", 443, true],
  ["a.example:443", "a.example", 443, true],
  ["a.example:443", "a.example", 8443, false],
  ["example", "a.example", 443, true],
  ["192.0.2.0/24", "192.0.2.7", 443, true],
  ["192.0.2.0/24", "192.0.3.7", 443, false],
  ["192.0.2.7", "192.0.2.7", 443, true],
  ["2.7", "192.0.2.7", 443, false],
  ["2001:db8::/32", "2001:db8::1", 443, true],
  ["[2001:db8::1]:443", "2001:db8::1", 443, true],
  ["[2001:db8::1]:443", "2001:db8::1", 80, false],
  ["[2001:db8::1]", "2001:db8::1", 443, true],
  ["192.0.2.0/99", "192.0.2.7", 443, false],
  [".", "a.example", 443, false],
  ["", "localhost", 443, true],
  ["", "x.localhost", 443, true],
  ["", "127.9.9.9", 443, true],
  ["", "::1", 443, true],
] as const) {
  test(`NO_PROXY='${noProxy}' ${direct ? "names" : "does not name"} ${host}:${port}`, () => {
    const found = chooseProxy(proxySettings({ ALL_PROXY: PROXY, NO_PROXY: noProxy }), { host, port });
    assert.equal(found === null, direct);
  });
}

test("port 80 goes by the proxy for http, every other one by that for https", () => {
  const both = proxySettings({ http_proxy: "one.example:8080", HTTPS_PROXY: "https://two.example", https_proxy: "" });
  assert.deepEqual(chooseProxy(both, { host: "a.example", port: 80 }), {
    scheme: "http",
    host: "one.example",
    port: 8080,
    authorization: null,
  });
  assert.deepEqual(chooseProxy(both, { host: "a.example", port: 5432 }), {
    scheme: "https",
    host: "two.example",
    port: 443,
    authorization: null,
  });
  assert.equal(chooseProxy(proxySettings({ http_proxy: PROXY }), { host: "a.example", port: 443 }), null);
});
