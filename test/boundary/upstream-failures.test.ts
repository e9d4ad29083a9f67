/**
 * Upstreams that fail or lie: the program in the guest gets a clear error or a broken transfer, never a response that
 * looks complete and is not; the supervisor stays small and serves the next request.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import type { AuditEvent } from "../../src/egress/audit-event.ts";
import { GuestClient } from "./support/guest-client.ts";
import { TestAuthority } from "./support/test-authority.ts";
import { TestListener } from "./support/test-listener.ts";
import { World } from "./support/world.ts";

const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;
/** A flag of HTTP/2's frames. */
const END_HEADERS = 4;
/** What a supervisor that is well takes, and room for what it may hold for one connection. */
const MAX_RSS_BYTES = 220 * MIB;
/** Far more than any sandbox may be made to hold. */
const FLOOD_BYTES = 1024 * MIB;

let world: World;
let box: string;
let guest: GuestClient;
let next = 1;

before(async () => {
  world = await World.open();
  await named("well.example.com", (socket) =>
    answer(socket, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"),
  );
  box = await world.home.create("--allow-net", "*.example.com:443", "--inspect", "--ca-file", world.caFile);
  guest = world.use(await GuestClient.start(world.home, box));
});
after(async () => world[Symbol.asyncDispose]());

/** A server of TLS under a name, at an address of its own. */
async function named(name: string, serve: (socket: TLSSocket) => void, options: TlsOptions = {}): Promise<void> {
  const address = `93.184.217.${next++}`;
  world.names.set(name, address);
  const server = createTlsServer({ ...world.authority.identity(name), ...options }, serve);
  // What fails the handshake is the point of some tests.
  server.on("tlsClientError", () => undefined);
  world.use(await TestListener.start(server, address, 443));
}

/** Reads the request's head, then says this and leaves the connection open. */
function answer(socket: TLSSocket, text: string, then: (socket: TLSSocket) => void = () => undefined): void {
  socket.on("error", () => undefined);
  socket.once("data", () => socket.write(text, "latin1", () => then(socket)));
}

function reset(socket: TLSSocket): void {
  // What was written first has to be read first.
  setTimeout(() => rawSocket(socket).resetAndDestroy(), 200);
}

function rawSocket(socket: TLSSocket): Socket {
  return (socket as unknown as { _parent?: Socket })._parent ?? socket;
}

/** Writes the same again as fast as it is taken, up to a limit. */
function flood(socket: TLSSocket, text: string): void {
  const chunk = Buffer.from(text.repeat(Math.ceil(65_536 / text.length)), "latin1");
  let left = FLOOD_BYTES;
  const more = (): void => {
    while (left > 0 && !socket.destroyed) {
      left -= chunk.length;
      if (!socket.write(chunk)) {
        socket.once("drain", more);
        return;
      }
    }
  };
  more();
}

async function rssBytes(): Promise<number> {
  const { supervisorPid } = await world.home.info(box);
  const status = readFileSync(`/proc/${supervisorPid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

async function log(): Promise<AuditEvent[]> {
  const text = await world.home.must(["net", "log", box, "--json"]);
  return text.split("\n").map((line) => JSON.parse(line) as AuditEvent);
}

/** Answered in place of the upstream, with the reason, which the log has too. */
async function fails(host: string, message: RegExp, status = 502): Promise<void> {
  const refused = await guest.refused(`https://${host}/`);
  assert.deepEqual([refused.status, refused.error], [status, "upstream_failed"], JSON.stringify(refused));
  assert.match(refused.message, message);
  const event = (await log()).findLast((candidate) => candidate.host === host && candidate.kind === "request");
  assert.equal(event?.error, refused.message);
  assert.equal((await guest.request("https://well.example.com/")).body, "ok", "the next one is served");
}

for (const [what, text, message] of [
  ["closes without a response", "", /closed the connection without a response/],
  ["says something that is not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", /not valid HTTP/],
  ["says bytes", "\u0000\u0001\u0002\u0003\u00ff\u00fe\r\n\r\n", /not valid HTTP/],
  [
    "gives two lengths",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
    /not valid HTTP|length/,
  ],
  [
    "gives a length and chunks",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    /not valid HTTP/,
  ],
  ["gives a length that is no number", "HTTP/1.1 200 OK\r\ncontent-length: 2x\r\n\r\nok", /not valid HTTP/],
  ["ends in the middle of its header", "HTTP/1.1 200 OK\r\ncontent-le", /closed the connection|not valid HTTP/],
  ["sends too many header fields", `HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(600)}\r\n`, /header/],
] as const) {
  test(`an upstream that ${what} is a 502 that says so`, async () => {
    const host = `h${next}.example.com`;
    await named(host, (socket) => answer(socket, text, () => setTimeout(() => socket.end(), 50)));
    await fails(host, message);
  });
}

test("an upstream that resets the connection before it answers is a 502 that says so", async () => {
  await named("reset.example.com", (socket) => answer(socket, "", reset));
  await fails("reset.example.com", /ECONNRESET|closed the connection/);
});

test("an upstream that never answers ends with the guest's own patience, and nothing is left of it", async () => {
  const gone = Promise.withResolvers<void>();
  await named("silent.example.com", (socket) => answer(socket, "", () => socket.once("close", () => gone.resolve())));
  const { error, stage } = await guest.request("https://silent.example.com/", { timeout: 2 });
  assert.deepEqual([error, stage], ["TimeoutError", "head"]);
  await gone.promise;
});

test("an upstream that stops after its header ends with the guest's own patience, and nothing is left of it", async () => {
  const gone = Promise.withResolvers<void>();
  const head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nab";
  await named("stuck.example.com", (socket) => answer(socket, head, () => socket.once("close", () => gone.resolve())));
  const { error, stage, bytes } = await guest.request("https://stuck.example.com/", { timeout: 2 });
  assert.deepEqual([error, stage, bytes], ["TimeoutError", "body", 0]);
  await gone.promise;
});

for (const [what, text, then] of [
  ["resets in the middle of a body", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", reset],
  ["ends before its length", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", (s: TLSSocket) => s.end()],
  [
    "ends before its last chunk",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    (s: TLSSocket) => s.end(),
  ],
  ["resets a chunked body", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", reset],
  [
    "sends a chunk that is none",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    (s: TLSSocket) => s.end(),
  ],
] as const) {
  test(`an upstream that ${what} never looks like a complete response`, async () => {
    const host = `h${next}.example.com`;
    await named(host, (socket) => answer(socket, text, then));
    const { status, error } = await guest.request(`https://${host}/`);
    assert.equal(status, 200);
    assert.match(error ?? "complete", /^(IncompleteRead|ConnectionResetError|tls .*EOF.*|SSLEOFError)$/i);
    const event = (await log()).findLast((candidate) => candidate.host === host);
    assert.notEqual(event?.error, undefined);
  });
}

test("what an upstream sends beyond its length is nobody's response", async () => {
  const more = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
  await named("more.example.com", (socket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.write(more));
  });
  for (let round = 0; round < 5; round++) {
    assert.equal((await guest.request("https://more.example.com/")).body, "ok");
  }
});

test("an endless header is a 502, and is not held", async () => {
  await named("headers.example.com", (socket) =>
    answer(socket, "HTTP/1.1 200 OK\r\n", () => flood(socket, `x-header: ${"h".repeat(1000)}\r\n`)),
  );
  await fails("headers.example.com", /too large a header/);
  assert.ok((await rssBytes()) < MAX_RSS_BYTES, `${(await rssBytes()) / MIB} MiB`);
});

test("an endless status line, and endless interim responses, are a 502", async () => {
  await named("line.example.com", (socket) => answer(socket, "HTTP/1.1 200 ", () => flood(socket, "reason ")));
  await fails("line.example.com", /too large a header|not valid HTTP/);
  await named("interim.example.com", (socket) =>
    answer(socket, "HTTP/1.1 103 Early Hints\r\n\r\n", () => flood(socket, "HTTP/1.1 103 Early Hints\r\n\r\n")),
  );
  await fails("interim.example.com", /interim responses/);
});

test("an endless body to a reader that is slow waits at the upstream, and is not held", async () => {
  let taken = 0;
  await named("endless.example.com", (socket) =>
    answer(socket, "HTTP/1.1 200 OK\r\n\r\n", () => {
      flood(socket, "b".repeat(65_536));
      socket.on("close", () => (taken = socket.bytesWritten));
    }),
  );
  const { bytes } = await guest.request("https://endless.example.com/", { pause: 0.03, atMost: MIB });
  assert.ok((bytes ?? 0) >= MIB);
  assert.equal((await guest.request("https://well.example.com/")).body, "ok");
  assert.ok((await rssBytes()) < MAX_RSS_BYTES, `${(await rssBytes()) / MIB} MiB`);
  assert.ok(taken < 100 * MIB, `${taken / MIB} MiB were taken from the upstream`);
});

const CERTIFICATES: readonly [what: string, make: () => TlsOptions, message: RegExp][] = [
  [
    "has expired",
    () =>
      world.authority.identity("h.example.com", { notBefore: Date.now() - 2 * DAY_MS, notAfter: Date.now() - DAY_MS }),
    /^the certificate of h\.example\.com:443 has expired$/,
  ],
  [
    "is not valid yet",
    () =>
      world.authority.identity("h.example.com", { notBefore: Date.now() + DAY_MS, notAfter: Date.now() + 2 * DAY_MS }),
    /^the certificate of h\.example\.com:443 is not valid yet$/,
  ],
  [
    "is for another name",
    () => world.authority.identity("other.example.org"),
    /^the certificate of h\.example\.com:443 is for other\.example\.org$/,
  ],
  [
    "is of an authority that nobody knows",
    () => new TestAuthority("Nobody's Root").identity("h.example.com"),
    /^the certificate of h\.example\.com:443 is signed by an authority that this machine does not know$/,
  ],
  [
    "comes with TLS 1.1",
    () => ({ maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT:@SECLEVEL=0" }),
    /^the TLS handshake with h\.example\.com:443 failed: /,
  ],
];

for (const [what, make, message] of CERTIFICATES) {
  test(`a certificate that ${what} is a 502 that says so, and no request is sent`, async () => {
    let requests = 0;
    await named("h.example.com", (socket) => socket.on("data", () => (requests += 1)), make());
    await fails("h.example.com", message);
    assert.equal(requests, 0);
  });
}

test("a server that does not speak TLS, one that refuses and a name without an address are a 502 that says so", async () => {
  world.names.set("plain.example.com", "93.184.218.1");
  world.use(
    await TestListener.start(
      createTcpServer((socket) => socket.end("220 ready\r\n")),
      "93.184.218.1",
      443,
    ),
  );
  await fails("plain.example.com", /does not speak TLS|TLS handshake/);
  world.names.set("refusing.example.com", "93.184.218.2");
  await fails("refusing.example.com", /^refusing\.example\.com:443 \(93\.184\.218\.2\) refused the connection$/);
  await fails("nowhere.example.com", /^nowhere\.example\.com has no address$/);
});

test("an upstream that violates HTTP/2 is an error inside, and the supervisor lives on", async () => {
  const frame = (type: number, payload: Buffer, stream: number): Buffer => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(type === 1 ? END_HEADERS : 0, 4);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  const settings = frame(4, Buffer.alloc(0), 0);
  for (const [host, bytes] of [
    ["h2-data.example.com", Buffer.concat([settings, frame(0, Buffer.from("data for nobody"), 1)])],
    ["h2-garbage.example.com", Buffer.from("HTTP/1.1 200 OK\r\n\r\n")],
    ["h2-window.example.com", Buffer.concat([settings, frame(8, Buffer.alloc(4), 0)])],
    ["h2-table.example.com", Buffer.concat([settings, frame(1, Buffer.from([0xff, 0xff, 0xff, 0xff]), 1)])],
  ] as const) {
    await named(host, (socket) => socket.on("error", () => undefined).once("data", () => socket.write(bytes)), {
      ALPNProtocols: ["h2"],
    });
    const { stdout, status } = await world.home.sbx([
      "exec",
      box,
      "--",
      "curl",
      "-s",
      "--max-time",
      "20",
      "-w",
      "%{http_code}",
      `https://${host}/`,
    ]);
    assert.ok(status !== 0 || stdout.endsWith("502"), `${host}: ${status} ${stdout}`);
    assert.notEqual(status, 28, `${host} was not answered in time`);
  }
  assert.equal((await guest.request("https://well.example.com/")).body, "ok");
});

test("after all of that the same supervisor runs, small, and the sandbox answers", async () => {
  assert.equal(await world.home.bash(box, "echo here"), "here");
  assert.ok((await rssBytes()) < MAX_RSS_BYTES, `${(await rssBytes()) / MIB} MiB`);
});

test("a corporate proxy is used by its variables, with its password, and not for what NO_PROXY names", async () => {
  const asked: string[] = [];
  const expected = `Basic ${Buffer.from("user:pass word").toString("base64")}`;
  let wants: string | null = null;
  const proxy = createHttpServer();
  proxy.on("connect", ({ url = "", headers }, socket: Socket) => {
    socket.on("error", () => undefined);
    asked.push(url);
    if (wants !== null && headers["proxy-authorization"] !== wants) {
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    } else if (url.startsWith("forbidden.")) {
      socket.end("HTTP/1.1 403 Not in this company\r\n\r\n");
    } else {
      const upstream = connectTcp(443, world.names.addressOf("well.example.com") ?? "", () => {
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        socket.pipe(upstream).pipe(socket);
      });
      upstream.on("error", () => socket.destroy());
    }
  });
  world.use(await TestListener.start(proxy, "10.20.30.40", 3128));
  world.names.set("proxy.corp.example", "10.20.30.40");
  world.names.set("direct.example.com", world.names.addressOf("well.example.com") ?? "");
  const network = ["--allow-net", "*.example.com:443", "--inspect", "--ca-file", world.caFile];
  const fetch = async (credentials: string, host: string): Promise<string> => {
    const { stdout, stderr } = await world.home.sbx(["run", ...network, "--", "curl", "-s", `https://${host}/`], {
      env: { HTTPS_PROXY: `http://${credentials}proxy.corp.example:3128`, NO_PROXY: "direct.example.com,.internal" },
    });
    return stdout === "" ? stderr : stdout;
  };
  assert.equal(await fetch("", "well.example.com"), "ok");
  assert.deepEqual(asked.splice(0), ["well.example.com:443"]);
  // The certificate is for another name; that it was dialled is what counts.
  assert.match(await fetch("", "direct.example.com"), /certificate of direct\.example\.com/);
  assert.deepEqual(asked.splice(0), []);
  assert.match(
    await fetch("", "forbidden.example.com"),
    /the proxy proxy\.corp\.example:3128 refused forbidden\.example\.com:443: 403 Not in this company/,
  );
  wants = expected;
  assert.match(await fetch("", "well.example.com"), /wants a user and a password in its URL/);
  assert.match(await fetch("user:wrong@", "well.example.com"), /refused its user or password/);
  assert.equal(await fetch("user:pass%20word@", "well.example.com"), "ok");
});
