/** The certificates of a sandbox's authority, as strict programs see them. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { connect, TLSSocket } from "node:tls";
import { AUTHORITY_COMMON_NAME, type Authority, createAuthority } from "../../../src/egress/tls/authority.ts";

const DAY_MS = 86_400_000;

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-authority-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** A TLS server that is `host` by this authority, on a port of the loopback. */
async function serve(t: TestContext, authority: Authority, host: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    const secure = new TLSSocket(socket, { isServer: true, secureContext: authority.contextFor(host) });
    secure.on("error", () => undefined);
    secure.end("hello\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function handshake(authority: Authority, port: number, host: string, session?: Buffer) {
  const socket = connect({
    host: "127.0.0.1",
    port,
    ca: authority.certificatePem,
    ...(/[:\d]$/.test(host)
      ? { servername: "", checkServerIdentity: (_: string, cert) => checkName(host, cert) }
      : { servername: host }),
    ...(session === undefined ? {} : { session }),
  });
  const sessions: Buffer[] = [];
  socket.on("session", (received: Buffer) => sessions.push(received));
  await once(socket, "secureConnect");
  const leaf = socket.getPeerX509Certificate();
  const reused = socket.isSessionReused();
  socket.resume();
  await once(socket, "close");
  assert.ok(leaf !== undefined || reused);
  return { leaf, reused, session: sessions[0] };
}

function checkName(host: string, cert: { raw: Buffer }): Error | undefined {
  return new X509Certificate(cert.raw).checkIP(host) === undefined ? new Error("not for this address") : undefined;
}

test("the authority's subject is constant, its key and serial are each sandbox's own", () => {
  const [one, other] = [createAuthority(), createAuthority()].map(
    ({ certificatePem }) => new X509Certificate(certificatePem),
  );
  assert.ok(one !== undefined && other !== undefined);
  assert.equal(one.subject, `CN=${AUTHORITY_COMMON_NAME}`);
  assert.equal(one.subject, other.subject);
  assert.notEqual(one.serialNumber, other.serialNumber);
  assert.ok(!one.publicKey.equals(other.publicKey));
  assert.ok(one.ca && one.checkIssued(one) && one.verify(one.publicKey));
  assert.ok(!one.verify(other.publicKey));
});

test("a leaf is for its one host, signed by the authority, and valid around now for days", async (t) => {
  const now = Date.UTC(2031, 5, 1);
  const authority = createAuthority({ now: () => now });
  const ca = new X509Certificate(authority.certificatePem);
  assert.ok(ca.validFromDate.getTime() < now - 6 * DAY_MS);
  const current = createAuthority();
  const port = await serve(t, current, "api.example.com");
  const { leaf } = await handshake(current, port, "api.example.com");
  assert.ok(leaf);
  assert.equal(leaf.subjectAltName, "DNS:api.example.com");
  assert.deepEqual(leaf.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
  assert.ok(!leaf.ca);
  assert.ok(leaf.validFromDate.getTime() < Date.now() - 6 * DAY_MS);
  const lifeMs = leaf.validToDate.getTime() - Date.now();
  assert.ok(lifeMs > 7 * DAY_MS && lifeMs < 30 * DAY_MS);
});

test("times from 2050 on are written as RFC 5280 wants them", () => {
  const authority = createAuthority({ now: () => Date.UTC(2049, 11, 31) });
  assert.equal(new X509Certificate(authority.certificatePem).validToDate.getUTCFullYear(), 2051);
});

for (const host of ["127.0.0.1", "::1", "2001:db8::ff00:42:8329"]) {
  test(`a leaf for the address ${host} carries it as an address`, async (t) => {
    const authority = createAuthority();
    const port = await serve(t, authority, host);
    const { leaf } = await handshake(authority, port, host);
    assert.ok(leaf?.checkIP(host) !== undefined);
  });
}

test("a host of 253 characters gets a leaf all the same", async (t) => {
  const host = `${"a".repeat(61)}.`.repeat(4) + "example";
  const authority = createAuthority();
  const { leaf } = await handshake(authority, await serve(t, authority, host), host);
  assert.equal(leaf?.subjectAltName, `DNS:${host}`);
});

test("a guest can resume its session with a host", async (t) => {
  const authority = createAuthority();
  const port = await serve(t, authority, "api.example.com");
  const first = await handshake(authority, port, "api.example.com");
  assert.equal(first.reused, false);
  const second = await handshake(authority, port, "api.example.com", first.session);
  assert.equal(second.reused, true);
});

test("contexts are kept for the hosts used last, and made anew before their leaf is over", () => {
  let now = Date.now();
  const authority = createAuthority({ maxContexts: 2, now: () => now });
  const a = authority.contextFor("a.example");
  const b = authority.contextFor("b.example");
  assert.equal(authority.contextFor("a.example"), a);
  authority.contextFor("c.example");
  assert.equal(authority.contextFor("a.example"), a);
  assert.notEqual(authority.contextFor("b.example"), b);
  now += 8 * DAY_MS;
  assert.notEqual(authority.contextFor("b.example"), a);
  assert.notEqual(authority.contextFor("a.example"), a);
});

/** A leaf as PEM, taken from a handshake. */
async function leafPem(t: TestContext, authority: Authority, host: string): Promise<string> {
  const { leaf } = await handshake(authority, await serve(t, authority, host), host);
  assert.ok(leaf);
  return leaf.toString();
}

test("OpenSSL verifies a leaf under its strictest rules", async (t) => {
  const authority = createAuthority();
  const directory = temporaryDirectory(t);
  const ca = path.join(directory, "ca.pem");
  const leaf = path.join(directory, "leaf.pem");
  writeFileSync(ca, authority.certificatePem);
  for (const [host, option] of [
    ["api.example.com", "-verify_hostname"],
    ["127.0.0.1", "-verify_ip"],
  ] as const) {
    writeFileSync(leaf, await leafPem(t, authority, host));
    const args = ["verify", "-x509_strict", "-purpose", "sslserver", option, host, "-CAfile", ca, leaf];
    assert.equal(execFileSync("openssl", args, { encoding: "utf8" }), `${leaf}: OK\n`);
  }
});

const PYTHON_CLIENT = `
import socket, ssl, sys
ca, port, host = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=ca)
context.verify_flags |= ssl.VERIFY_X509_STRICT
with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw, server_hostname=host) as tls:
    sys.stdout.write(tls.recv(100).decode())
`;

test("Python connects with VERIFY_X509_STRICT, by name and by address", async (t) => {
  const authority = createAuthority();
  const ca = path.join(temporaryDirectory(t), "ca.pem");
  writeFileSync(ca, authority.certificatePem);
  for (const host of ["api.example.com", "127.0.0.1"]) {
    const port = await serve(t, authority, host);
    const python = spawn("python3", ["-c", PYTHON_CLIENT, ca, String(port), host], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [[output], [code]] = (await Promise.all([once(python.stdout, "data"), once(python, "exit")])) as [
      [Buffer],
      [number],
    ];
    assert.deepEqual([String(output), code], ["hello\n", 0]);
  }
});

for (const [offered, chosen] of [
  ["TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"],
  ["TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"],
  ["TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"],
] as const) {
  test(`of ${offered} the cipher that costs the guest least is taken`, async (t) => {
    const authority = createAuthority();
    const port = await serve(t, authority, "ciphers.example");
    const options = { ca: authority.certificatePem, servername: "ciphers.example", ciphers: offered };
    const socket = connect({ host: "127.0.0.1", port, ...options }).resume();
    await once(socket, "secureConnect");
    assert.equal(socket.getCipher().standardName, chosen);
    await once(socket, "close");
  });
}
