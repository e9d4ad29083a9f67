import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request as startRequest } from "node:https";
import type { IncomingMessage } from "node:http";
import { connect as connectTls } from "node:tls";
import { Readable } from "node:stream";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Agent as UndiciAgent, fetch as undiciFetch } from "undici";
import { ask, closed, exchangeRaw, failure, readAll, readUntil } from "./clients.ts";
import { fakeSecrets, PLACEHOLDER, VALUE } from "./fake-secrets.ts";
import { HOST, startHarness } from "./harness.ts";
import { httpServer, httpsServer, rawServer } from "./servers.ts";

test("a request reaches its upstream with its secret, and its response comes back without", async () => {
  await using upstream = await httpsServer((request, response) => {
    response.setHeader("x-echo", request.headers.authorization ?? "");
    response.end(`${request.method} ${request.url} ${request.headers.host}`);
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const got = await ask(harness, `/v1?key=${PLACEHOLDER}`, { headers: { authorization: `Bearer ${PLACEHOLDER}` } });
  assert.equal(got.status, 200);
  assert.equal(got.headers["x-echo"], `Bearer ${PLACEHOLDER}`);
  assert.equal(got.body.toString(), `GET /v1?key=${VALUE} ${HOST}`);
  const [event] = await harness.settled("request", 1);
  assert.deepEqual(
    { ...event, time: 0, ms: 0 },
    {
      time: 0,
      kind: "request",
      verdict: "allow",
      flow: 1,
      host: HOST,
      port: 443,
      method: "GET",
      url: `https://${HOST}/v1?key`,
      via: "intercept",
      status: 200,
      rule: { id: "r1", text: "allow api.example.com", source: { kind: "option", option: "--allow-net" } },
      fix: null,
      reason: "allowed by r1",
      address: "203.0.113.7",
      secrets: ["API_KEY"],
      sentBytes: 0,
      receivedBytes: got.body.length,
      ms: 0,
    },
  );
});

test("plain HTTP is carried the same way, and flows that are streams of JavaScript as well", async () => {
  await using plain = await httpServer((request, response) => response.end(request.url));
  await using tls = await httpsServer((request, response) => response.end(request.url));
  for (const throughDuplex of [false, true]) {
    await using one = await startHarness({ upstreamPort: plain.port, scheme: "http", throughDuplex });
    assert.equal((await ask(one, "/plain", { plain: true })).body.toString(), "/plain");
    await using two = await startHarness({ upstreamPort: tls.port, throughDuplex });
    assert.equal((await ask(two, "/tls")).body.toString(), "/tls");
  }
});

test("fetch works, and a flow on another port is for that port", async () => {
  await using upstream = await httpsServer((request, response) => response.end(request.headers.host));
  await using harness = await startHarness({ upstreamPort: upstream.port, port: 8443 });
  const dispatcher = new UndiciAgent({
    connect: (_options, done) => {
      const socket = connectTls({ host: "127.0.0.1", port: harness.clientPort, servername: HOST, ca: harness.ca }, () =>
        done(null, socket),
      );
    },
  });
  const response = await undiciFetch(`https://${HOST}:8443/x`, { dispatcher });
  assert.equal(await response.text(), `${HOST}:8443`);
  await dispatcher.close();
});

test("connections are kept on both legs", async () => {
  await using upstream = await httpsServer((request, response) => response.end(String(request.socket.remotePort)));
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ports = new Set<string>();
  for (let round = 0; round < 5; round++) ports.add((await ask(harness, "/", { agent })).body.toString());
  assert.equal(ports.size, 1);
  // Another connection of the guest uses the same one upstream.
  ports.add((await ask(harness, "/")).body.toString());
  assert.equal(ports.size, 1);
  assert.equal(harness.dials.length, 1);
  agent.destroy();
});

test("an event stream arrives event by event, its head before the first", async () => {
  let send: (text: string) => void = () => undefined;
  await using upstream = await httpsServer((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    send = (text) => response.write(text);
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const socket = await harness.connect();
  const head = readUntil(socket, "\r\n\r\n");
  socket.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
  assert.match(await head, /text\/event-stream/);
  for (const event of ["one", "two"]) {
    const seen = readUntil(socket, event);
    send(`data: ${event}\n\n`);
    await seen;
  }
  socket.destroy();
});

test("the upstream decides about 100-continue", async () => {
  await using upstream = await httpsServer((_request, response) => response.end("read"));
  upstream.server.on("checkContinue", (request, response) => {
    if (request.url === "/no") {
      response.writeHead(417).end();
      return;
    }
    response.writeContinue();
    request.resume().on("end", () => response.end("read"));
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const yes = await harness.connect();
  yes.write(`POST /yes HTTP/1.1\r\nhost: ${HOST}\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n`);
  assert.match(await readUntil(yes, "\r\n\r\n"), /^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  yes.write("body");
  assert.match(await readUntil(yes, "read"), /^HTTP\/1\.1 200 /);
  yes.destroy();
  const no = await harness.connect();
  const answer = await exchangeRaw(
    no,
    `POST /no HTTP/1.1\r\nhost: ${HOST}\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n`,
  );
  assert.match(answer, /^HTTP\/1\.1 417 /); // and no 100 before it
});

test("a body that comes without waiting for 100 is sent on", async () => {
  // This one has never heard of Expect.
  await using upstream = await rawServer(true, (socket) => {
    let seen = "";
    socket.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.endsWith("body")) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const socket = await harness.connect();
  socket.write(`POST / HTTP/1.1\r\nhost: ${HOST}\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n`);
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.write("body");
  assert.match(await readUntil(socket, "ok"), /^HTTP\/1\.1 200 /);
  socket.destroy();
});

test("HEAD, 204 and 304 have no body, and a HEAD keeps its length", async () => {
  await using upstream = await httpsServer((request, response) => {
    const status = Number(request.url?.slice(1));
    response.writeHead(status, status === 200 ? { "content-length": "12345" } : {});
    response.end();
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const head = await ask(harness, "/200", { method: "HEAD", agent });
  assert.equal(head.headers["content-length"], "12345");
  assert.equal((await ask(harness, "/204", { agent })).status, 204);
  const unchanged = await ask(harness, "/304", { agent });
  assert.deepEqual([unchanged.status, unchanged.body.length, unchanged.headers["content-length"]], [304, 0, undefined]);
  agent.destroy();
});

test("trailers cross both ways, with secrets", async () => {
  await using upstream = await httpsServer((request, response) => {
    request.resume().on("end", () => {
      response.writeHead(200, { trailer: "x-sum" });
      response.write("x");
      response.addTrailers({ "x-sum": String(request.trailers["x-key"]) });
      response.end();
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const socket = await harness.connect();
  socket.write(
    `POST / HTTP/1.1\r\nhost: ${HOST}\r\ntransfer-encoding: chunked\r\ntrailer: x-key\r\n\r\n` +
      `3\r\nabc\r\n0\r\nx-key: ${PLACEHOLDER}\r\ncontent-type: x\r\n\r\n`,
  );
  const answer = await readUntil(socket, `x-sum: ${PLACEHOLDER}`);
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(answer, /the-real-value/);
  socket.destroy();
});

test("a 100 MB upload and download pass whole, and memory stays bounded", async () => {
  const size = 100 * 1024 * 1024;
  await using upstream = await httpsServer((request, response) => {
    let bytes = 0;
    request.on("data", (chunk: Buffer) => (bytes += chunk.length));
    request.on("end", () => {
      if (request.method === "POST") response.end(String(bytes));
      else {
        response.writeHead(200, { "content-length": String(size) });
        Readable.from(pieces(size)).pipe(response);
      }
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  let most = 0;
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const watch = setInterval(() => {
    collect();
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  }, 500);
  const before = process.memoryUsage().arrayBuffers;
  const up = await ask(harness, "/", {
    method: "POST",
    headers: { "content-length": String(size) },
    body: Readable.from(pieces(size)),
  });
  assert.equal(up.body.toString(), String(size));
  const socket = await harness.connect();
  socket.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n\r\n`);
  let down = 0;
  socket.on("data", (chunk: Buffer) => (down += chunk.length));
  await once(socket, "end");
  clearInterval(watch);
  assert.ok(down > size);
  assert.ok(most - before < 48 * 1024 * 1024, `${(most - before) >> 20} MiB of buffers`);
  const events = await harness.settled("request", 2);
  assert.equal(events[0]?.sentBytes, size);
  assert.equal(events[1]?.receivedBytes, size);
});

test("a reader that reads nothing holds the upstream back", async () => {
  let written = 0;
  await using upstream = await httpsServer((_request, response) => {
    const chunk = Buffer.alloc(64 * 1024);
    const write = (): void => {
      while (written < 256 * 1024 * 1024) {
        written += chunk.length;
        if (!response.write(chunk)) {
          response.once("drain", write);
          return;
        }
      }
    };
    write();
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const socket = await harness.connect();
  socket.pause();
  socket.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
  let before = -1;
  while (written !== before || written === 0) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  // The kernel's buffers of two loopback connections are the most of it.
  assert.ok(written < 64 * 1024 * 1024, `${written >> 20} MiB`);
  socket.destroy();
});

test("an answer to an upload that is not complete reaches the guest, and the connection ends or goes on cleanly", async () => {
  await using upstream = await rawServer(true, (socket) => {
    socket.on("data", (chunk: Buffer) => {
      if (!chunk.includes(" HTTP/1.1")) return;
      socket.write("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { lingerBytes: 1024 * 1024 } });
  const small = await harness.connect();
  small.write(`POST / HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: 1000\r\n\r\nabc`);
  assert.match(await readUntil(small, "no"), /^HTTP\/1\.1 413 /);
  small.write(`${"x".repeat(997)}GET /next HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
  assert.match(await readUntil(small, "no"), /^HTTP\/1\.1 413 /); // the second request's own
  small.destroy();
  const large = await harness.connect();
  large.write(`POST / HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: 10000000\r\n\r\nabc`);
  assert.match(await readUntil(large, "no"), /^HTTP\/1\.1 413 /);
  const end = closed(large);
  const flood = setInterval(() => large.write(Buffer.alloc(256 * 1024)), 5);
  await end;
  clearInterval(flood);
});

test("a guest that goes away ends its request upstream", async () => {
  let gone: (value: string) => void = () => undefined;
  const ended = new Promise<string>((resolve) => (gone = resolve));
  await using upstream = await httpsServer((request, response) => {
    response.write("begun");
    request.on("close", () => gone("closed"));
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const socket = await harness.connect();
  socket.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
  await readUntil(socket, "begun");
  socket.destroy();
  assert.equal(await ended, "closed");
  const [event] = await harness.settled("request", 1);
  assert.equal(event?.error, "the client gave up");
});

test("a response that ends too soon never looks complete", async () => {
  const lies = [
    "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
  ];
  for (const lie of lies) {
    await using upstream = await rawServer(true, (socket) => socket.once("data", () => socket.end(lie)));
    await using harness = await startHarness({ upstreamPort: upstream.port });
    const error = await failure(ask(harness, "/"));
    assert.match(error.message, /aborted|hang up|terminated|ECONNRESET/, lie);
    const [event] = await harness.settled("request", 1);
    assert.ok(event?.error !== undefined, lie);
  }
});

test("a response that is no HTTP, or too much of it, is answered with 502 and costs nothing", async () => {
  const many = Array.from({ length: 600 }, (_, at) => `x-${at}: 1\r\n`).join("");
  const lies: [answer: string, words: RegExp][] = [
    ["garbage\r\n\r\n", /not valid HTTP/],
    ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", /not valid HTTP/],
    [
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      /not valid HTTP/,
    ],
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", /transfer coding/],
    ["HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n", /not valid HTTP/],
    [`HTTP/1.1 200 OK\r\n${many}\r\n`, /header fields/],
    ["HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", /without a response/],
    ["", /without a response/],
    ["HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50), /interim/],
  ];
  for (const [lie, words] of lies) {
    await using upstream = await rawServer(true, (socket) => socket.once("data", () => socket.end(lie)));
    await using harness = await startHarness({ upstreamPort: upstream.port });
    const got = await ask(harness, "/");
    assert.equal(got.status, 502, lie);
    const body = JSON.parse(got.body.toString()) as Record<string, string>;
    assert.equal(body.error, "upstream_failed");
    assert.match(body.message ?? "", words, lie);
    assert.equal(got.headers["x-sbx-blocked"], undefined);
    const [event] = await harness.settled("request", 1);
    assert.deepEqual([event?.verdict, event?.status, event?.error], ["allow", 502, body.message]);
  }
});

test("an upstream that sends headers without end is cut off", async () => {
  let sent = 0;
  await using upstream = await rawServer(true, (socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const line = `x-fill: ${"y".repeat(1000)}\r\n`.repeat(16);
      const more = (): void => {
        while (!socket.destroyed && sent < 1024 * 1024 * 1024) {
          sent += line.length;
          if (!socket.write(line)) {
            socket.once("drain", more);
            return;
          }
        }
      };
      more();
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const got = await ask(harness, "/");
  assert.equal(got.status, 502);
  assert.match(got.body.toString(), /too large a header/);
  assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes were taken`);
});

test("an upstream that does not answer in time is given up with 504", async () => {
  await using upstream = await rawServer(true, () => undefined);
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { firstByteMs: 50 } });
  const got = await ask(harness, "/", { method: "POST", body: "x" });
  assert.equal(got.status, 504);
  assert.match(got.body.toString(), /did not answer/);
});

test("an upstream that cannot be dialled is answered with 502 and its reason", async () => {
  await using harness = await startHarness({ upstreamPort: 1 });
  const got = await ask(harness, "/");
  assert.equal(got.status, 502);
  assert.match(got.body.toString(), /ECONNREFUSED/);
});

test("a kept connection that the upstream has closed is no failure of the next request", async () => {
  let first = true;
  await using upstream = await rawServer(true, (socket) => {
    const closes = first;
    first = false;
    let requests = 0;
    socket.on("data", () => {
      // The second request meets a connection that closes at that moment.
      if (closes && ++requests === 2) socket.destroy();
      else socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  assert.equal((await ask(harness, "/")).status, 200);
  assert.equal((await ask(harness, "/")).status, 200);
  assert.equal(harness.dials.length, 2);
});

test("a request that cannot be repeated is not repeated", async () => {
  let requests = 0;
  await using upstream = await rawServer(true, (socket) => {
    socket.on("data", () => {
      if (++requests === 2) socket.destroy();
      else socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  assert.equal((await ask(harness, "/")).status, 200);
  assert.equal((await ask(harness, "/", { method: "POST" })).status, 502);
  assert.equal(requests, 2);
});

test("bytes that an upstream sends without being asked are not taken for an answer", async () => {
  await using upstream = await rawServer(true, (socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      setTimeout(() => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"), 20);
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  assert.equal((await ask(harness, "/")).body.toString(), "ok");
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal((await ask(harness, "/")).body.toString(), "ok");
  assert.equal(harness.dials.length, 2);
});

test("redirects return to the guest", async () => {
  await using upstream = await httpsServer((_request, response) => {
    response.writeHead(302, { location: `https://other.example.com/?k=${VALUE}` }).end();
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const got = await ask(harness, "/");
  assert.equal(got.status, 302);
  assert.equal(got.headers.location, `https://other.example.com/?k=${PLACEHOLDER}`);
  assert.equal(harness.dials.length, 1);
});

test("a body that secrets change is framed anew, both ways", async () => {
  await using upstream = await httpsServer((request, response) => {
    void readAll(request).then((body) => {
      response.writeHead(200, { "x-scrub-body": "1", "content-length": String(body.length) });
      response.end(body);
    });
  });
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const body = `{"key":"${PLACEHOLDER}"}`;
  const got = await ask(harness, "/", { method: "POST", body, headers: { "x-rewrite-body": "1" } });
  assert.equal(got.body.toString(), body);
  assert.equal(got.headers["transfer-encoding"], "chunked");
  const [event] = await harness.settled("request", 1);
  assert.equal(event?.sentBytes, Buffer.byteLength(`{"key":"${VALUE}"}`));
});

test("a placeholder for another host is blocked, in the head and in the body, and the guest is told", async () => {
  let requests = 0;
  await using upstream = await httpsServer((_request, response) => {
    requests++;
    response.end();
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, secrets: fakeSecrets("other.example.com") });
  const inHead = await ask(harness, "/", { headers: { "x-key": PLACEHOLDER } });
  assert.equal(inHead.status, 403);
  assert.match(inHead.body.toString(), /"blocked_by_sbx".*the placeholder of the secret API_KEY in the header x-key/);
  assert.equal(requests, 0);
  const inBody = await ask(harness, "/", { method: "POST", body: `key=${PLACEHOLDER}` });
  assert.equal(inBody.status, 403);
  assert.equal(inBody.headers["x-sbx-blocked"], "1");
  const leaks = await harness.settled("leak", 2);
  assert.deepEqual(
    leaks.map(({ verdict, secrets, reason }) => ({ verdict, secrets, reason })),
    [
      { verdict: "deny", secrets: ["API_KEY"], reason: "placeholder of API_KEY in header x-key" },
      { verdict: "deny", secrets: ["API_KEY"], reason: "placeholder of API_KEY in body" },
    ],
  );
});

test("a denial names the rule and the command that would allow it, and nothing is dialled", async () => {
  await using harness = await startHarness({
    upstreamPort: 1,
    decide: ({ method }) => ({
      verdict: "deny",
      rule: { id: "r2", text: "deny api.example.com POST", source: { kind: "command", at: 0 } },
      reason: `r2 denies ${method}, says ${VALUE}`,
      fix: ["sbx", "net", "allow", "SANDBOX", "api.example.com", "it's"],
    }),
  });
  const got = await ask(harness, "/path?q=v", { method: "POST", body: "x" });
  assert.equal(got.status, 403);
  assert.equal(got.headers["content-type"], "application/json");
  assert.equal(got.headers["x-sbx-blocked"], "1");
  assert.deepEqual(JSON.parse(got.body.toString()), {
    error: "blocked_by_sbx",
    message: `r2 denies POST, says ${PLACEHOLDER}`,
    rule: "deny api.example.com POST",
    fix: "sbx net allow box api.example.com 'it'\\''s'",
  });
  assert.equal(harness.dials.length, 0);
  const [event] = await harness.settled("request", 1);
  assert.deepEqual(
    [event?.verdict, event?.status, event?.rule?.id, event?.reason, event?.url],
    ["deny", 403, "r2", `r2 denies POST, says ${PLACEHOLDER}`, `https://${HOST}/path?q`],
  );
});

test("a policy that cannot be asked denies", async () => {
  await using harness = await startHarness({
    upstreamPort: 1,
    decide: () => {
      throw new Error("the policy is broken");
    },
  });
  const got = await ask(harness, "/");
  assert.equal(got.status, 403);
  assert.match(got.body.toString(), /the policy is broken/);
  assert.equal(harness.dials.length, 0);
});

test("more requests than the sandbox may have at a time are answered with 503", async () => {
  await using upstream = await httpsServer(() => undefined);
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { exchanges: 2 } });
  const waiting = [await harness.connect(), await harness.connect()];
  for (const socket of waiting) socket.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
  while (harness.dials.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal((await ask(harness, "/")).status, 503);
  for (const socket of waiting) socket.destroy();
});

test("connections to one host are bounded, and a request waits for its turn", async () => {
  let open = 0;
  let most = 0;
  await using upstream = await httpsServer((_request, response) => {
    most = Math.max(most, ++open);
    setTimeout(() => {
      open--;
      response.end("ok");
    }, 10);
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { connectionsPerHost: 3 } });
  const all = await Promise.all(Array.from({ length: 12 }, () => ask(harness, "/")));
  assert.ok(all.every((got) => got.status === 200));
  assert.equal(most, 3);
});

test("a guest that begins no request in time is disconnected", async () => {
  await using harness = await startHarness({ upstreamPort: 1, limits: { guestIdleMs: 50 } });
  const silent = await harness.connect();
  const slow = await harness.connect();
  slow.write("GET / HTTP/1.1\r\n");
  const drip = setInterval(() => slow.write("x: y\r\n"), 50);
  await Promise.all([closed(silent), closed(slow)]);
  clearInterval(drip);
});

test("a guest that does not trust the certificate is told apart in the log", async () => {
  await using harness = await startHarness({ upstreamPort: 1 });
  const options = { host: "127.0.0.1", port: harness.clientPort, servername: HOST, headers: { host: HOST } };
  await failure(
    new Promise<IncomingMessage>((resolve, reject) => {
      startRequest(options, resolve).on("error", reject).end();
    }),
  );
  const [event] = await harness.settled("connection", 1);
  assert.equal(event?.verdict, "deny");
  assert.match(event.error ?? "", /TLS/);
});

test("closing ends every connection on both sides", async () => {
  await using upstream = await httpsServer((_request, response) => response.write("begun"));
  await using harness = await startHarness({ upstreamPort: upstream.port });
  const socket = await harness.connect();
  socket.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
  await readUntil(socket, "begun");
  const ends = [closed(socket), closed(harness.dials[0]?.socket ?? socket)];
  harness.interceptor.close();
  await Promise.all(ends);
  const late = await failure(ask(harness, "/"));
  assert.ok(late instanceof Error);
});

function* pieces(size: number): Generator<Buffer> {
  const piece = Buffer.alloc(64 * 1024, "z");
  for (let left = size; left > 0; left -= piece.length) yield left < piece.length ? piece.subarray(0, left) : piece;
}
