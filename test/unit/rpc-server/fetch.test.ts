/** `fetch` through connections that the guest's agent dials (deno-sandbox-protocol, section 3.7). */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { openRealBench, openRealLink } from "./real-agent.ts";
import { openBench, serveLink, type TestClient } from "./rpc-harness.ts";
import { Fail, never } from "./scripted-agent.ts";

interface Fetched {
  status: number;
  statusText: string;
  headers: [string, string][];
  bodyStreamId: number | null;
}

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

/** A server on this machine's loopback, which is where the agent of the tests dials. */
async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listen(t, createServer(listener))}`;
}

async function get(client: TestClient, url: string, more: Record<string, unknown> = {}): Promise<Fetched> {
  return client.call<Fetched>("fetch", { url, method: "GET", headers: [], redirect: "follow", ...more });
}

async function bodyOf(client: TestClient, { bodyStreamId }: Fetched): Promise<string> {
  assert.notEqual(bodyStreamId, null);
  return (await client.streamBytes(bodyStreamId ?? 0)).toString();
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test("method, path, query, headers and body arrive, and status, headers and body come back", async (t) => {
  const { client } = await openRealBench(t);
  const origin = await serve(t, (request, response) => {
    void readBody(request).then((body) => {
      response.writeHead(
        201,
        "Made",
        [
          ["x-one", "1"],
          ["set-cookie", "a=1"],
          ["set-cookie", "b=2"],
        ].flat(),
      );
      response.end(`${request.method} ${request.url} ${String(request.headers["x-test"])} ${body}`);
    });
  });
  client.notify("$sandbox.stream.start", { streamId: 9 });
  client.chunk(9, "the ");
  const id = client.request("fetch", {
    url: `${origin}/p/a?q=1#fragment`,
    method: "PUT",
    headers: [["x-test", "yes"]],
    redirect: "follow",
    bodyStreamId: 9,
  });
  client.chunk(9, "body");
  client.notify("$sandbox.stream.end", { streamId: 9 });
  const fetched = (await client.reply(id)).result?.ok as Fetched;
  assert.deepEqual([fetched.status, fetched.statusText], [201, "Made"]);
  assert.deepEqual(
    fetched.headers.filter(([name]) => name === "set-cookie"),
    [
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
    ],
  );
  assert.equal(await bodyOf(client, fetched), "PUT /p/a?q=1 yes the body");
});

test("the answer comes with the headers, and the body streams", async (t) => {
  const { client } = await openRealBench(t);
  let finish: () => void = () => undefined;
  const origin = await serve(t, (_request, response) => {
    response.write("first");
    finish = () => response.end(" last");
  });
  const fetched = await get(client, origin);
  await client.until(() => client.stream(fetched.bodyStreamId ?? 0).includes("data:first"));
  finish();
  assert.equal(await bodyOf(client, fetched), "first last");
});

for (const [encoding, encode] of [
  ["gzip", gzipSync],
  ["br", brotliCompressSync],
] as const) {
  test(`a body in ${encoding} is decoded and the headers no longer say otherwise`, async (t) => {
    const { client } = await openRealBench(t);
    const encoded = encode("plain text");
    const origin = await serve(t, (_request, response) => {
      response.writeHead(200, { "content-encoding": encoding, "content-length": encoded.length, "x-kept": "1" });
      response.end(encoded);
    });
    const fetched = await get(client, origin);
    assert.equal(await bodyOf(client, fetched), "plain text");
    const names = fetched.headers.map(([name]) => name);
    assert.ok(names.includes("x-kept") && !names.includes("content-encoding") && !names.includes("content-length"));
  });
}

test("a body that is not encoded keeps its length header", async (t) => {
  const { client } = await openRealBench(t);
  const origin = await serve(t, (_request, response) => response.writeHead(200, { "content-length": 2 }).end("ok"));
  const fetched = await get(client, origin);
  assert.ok(fetched.headers.some(([name, value]) => name === "content-length" && value === "2"));
});

test("204, 205, 304 and HEAD have no body stream", async (t) => {
  const { client } = await openRealBench(t);
  const origin = await serve(t, (request, response) => response.writeHead(Number(request.url?.slice(1))).end());
  for (const status of [204, 205, 304]) {
    const fetched = await get(client, `${origin}/${status}`);
    assert.deepEqual([fetched.status, fetched.bodyStreamId], [status, null]);
  }
  const head = await get(client, `${origin}/200`, { method: "HEAD" });
  if (head.bodyStreamId !== null) assert.equal(await bodyOf(client, head), "");
});

test("redirects are followed, or returned as they are", async (t) => {
  const { client } = await openRealBench(t);
  const origin = await serve(t, (request, response) => {
    if (request.url === "/there") response.end("arrived");
    else response.writeHead(302, { location: "/there" }).end("moved");
  });
  assert.equal(await bodyOf(client, await get(client, origin)), "arrived");
  const manual = await get(client, origin, { redirect: "manual" });
  assert.equal(manual.status, 302);
  assert.ok(manual.headers.some(([name, value]) => name === "location" && value === "/there"));
});

test("failures of the network and of the URL are TypeErrors that say why", async (t) => {
  const { client } = await openRealBench(t);
  const port = await listen(t, createServer());
  const closed = createServer();
  const deadPort = await listen(t, closed);
  closed.close();
  const fetchError = async (params: Record<string, unknown>): Promise<string> => {
    const error = await client.callError("fetch", { method: "GET", headers: [], redirect: "follow", ...params });
    assert.equal(error.constructorName, "TypeError", error.message);
    return error.message;
  };
  assert.equal(
    await fetchError({ url: `http://127.0.0.1:${deadPort}/x` }),
    `error sending request for url (http://127.0.0.1:${deadPort}/x): Connection refused (os error 111)`,
  );
  assert.equal(await fetchError({ url: "file:///etc/passwd" }), "Url scheme 'file' not supported");
  assert.equal(await fetchError({ url: "nonsense" }), "Invalid URL: 'nonsense'");
  await fetchError({ url: `http://127.0.0.1:${port}`, headers: [["bad name", "x"]] });
  await fetchError({ url: `http://127.0.0.1:${port}`, headers: [["x", "a\r\nb: c"]] });
  await fetchError({ url: `http://127.0.0.1:${port}`, method: "a b" });
});

test("the guest dials by the name and port of the URL", async (t) => {
  const bench = await openBench(t, { dial: () => Promise.reject(new Fail("ECONNREFUSED")) });
  const { client } = await bench.connect();
  for (const url of ["http://example.test/", "https://example.test/", "http://[2001:db8::1]:81/"]) {
    await client.callError("fetch", { url, method: "GET", headers: [], redirect: "follow" });
  }
  assert.deepEqual(
    bench.agent.calls.map(({ params }) => [params["host"], params["port"]]),
    [
      ["example.test", 80],
      ["example.test", 443],
      ["2001:db8::1", 81],
    ],
  );
});

test("an abort before the headers is an AbortError; after them the body fails too", async (t) => {
  const { client } = await openRealBench(t);
  const origin = await serve(t, (request, response) => {
    if (request.url === "/slow") return;
    response.write("some");
  });
  const slow = client.request("fetch", {
    url: `${origin}/slow`,
    method: "GET",
    headers: [],
    redirect: "follow",
    abortId: 0,
  });
  await client.settle();
  assert.equal(await client.call("abort", { abortId: 0 }), null);
  const { error } = (await client.reply(slow)).result ?? {};
  assert.deepEqual([error?.constructorName, error?.name, error?.code], ["DOMException", "AbortError", null]);
  const fetched = await get(client, origin, { abortId: 1 });
  await client.until(() => client.stream(fetched.bodyStreamId ?? 0).includes("data:some"));
  assert.equal(await client.call("abort", { abortId: 1 }), null);
  const failed = await client.message((m) => m.method === "$sandbox.stream.error");
  assert.equal((failed.params?.["error"] as { name?: string }).name, "AbortError");
});

test("cancelling the body closes the connection to the server", async (t) => {
  const { client } = await openRealBench(t);
  let closed: () => void = () => undefined;
  const gone = new Promise<void>((resolve) => (closed = resolve));
  const origin = await serve(t, (request, response) => {
    response.write("some");
    request.socket.once("close", closed);
  });
  const { bodyStreamId } = await get(client, origin);
  client.notify("$sandbox.stream.cancel", { streamId: bodyStreamId, reason: null });
  await gone;
});

test("a request body that the client fails fails the fetch with the client's words", async (t) => {
  const { client } = await openRealBench(t);
  const origin = await serve(t, (request) => request.resume());
  client.chunk(3, "part");
  const id = client.request("fetch", { url: origin, method: "POST", headers: [], redirect: "follow", bodyStreamId: 3 });
  client.notify("$sandbox.stream.error", { streamId: 3, error: { constructorName: "RangeError", message: "no more" } });
  const { error } = (await client.reply(id)).result ?? {};
  assert.deepEqual([error?.constructorName, error?.message], ["RangeError", "no more"]);
});

test("TLS is verified: an unknown certificate is refused, a trusted one is taken", async (t) => {
  const { key, cert } = makeCertificate(t);
  const port = await listen(
    t,
    createTlsServer({ key, cert }, (_request, response) => response.end("secret")),
  );
  const url = `https://localhost:${port}/`;
  const { client } = await openRealBench(t);
  const error = await client.callError("fetch", { url, method: "GET", headers: [], redirect: "follow" });
  assert.match(error.message, /self-signed certificate/);
  const { link } = await openRealLink(t);
  const trusting = await serveLink(t, link, { trustedCertificates: () => [cert] });
  const { client: other } = await trusting.connect();
  assert.equal(await bodyOf(other, await get(other, url)), "secret");
});

test("a pid leads to the process's own port, in plain HTTP, whatever the URL", async (t) => {
  const dialled: number[] = [];
  const bench = await openBench(t, {
    exec: () => ({ pid: 7 }),
    wait: () => never(),
    listening: () => ({ ports: [9001, 9000] }),
    dial: async ({ port, read }, agent) => {
      dialled.push(port ?? 0);
      void agent.produceAll(read, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
      return {};
    },
  });
  const { client } = await bench.connect();
  await client.call("spawn", { command: "x", stdout: "null", stderr: "null" });
  for (const url of ["https://example.com/a", "http://localhost:9001/b", "http://localhost:8/c"]) {
    assert.equal(await bodyOf(client, await get(client, url, { pid: 7 })), "hi");
  }
  assert.deepEqual(dialled, [9000, 9001, 9000]);
  const error = await client.callError("fetch", {
    url: "http://x/",
    method: "GET",
    headers: [],
    redirect: "follow",
    pid: 8,
  });
  assert.equal(error.code, "ENOENT");
});

test("a server that sends nonsense is a TypeError, one that sends no end of headers too", async (t) => {
  for (const answer of ["NOPE\r\n\r\n", `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(50_000)}\r\n`]) {
    const bench = await openBench(t, {
      dial: async ({ read }, agent) => {
        void agent.produce(read, answer);
        return {};
      },
    });
    const { client } = await bench.connect();
    const error = await client.callError("fetch", { url: "http://x/", method: "GET", headers: [], redirect: "follow" });
    assert.equal(error.constructorName, "TypeError");
  }
});

/** A self-signed certificate for localhost. */
function makeCertificate(t: TestContext): { key: string; cert: string } {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-tls-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const [keyPath, certPath] = [path.join(directory, "key"), path.join(directory, "cert")];
  const options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  execFileSync("openssl", ["req", ...options, ...subject, "-keyout", keyPath, "-out", certPath], { stdio: "ignore" });
  return { key: readFileSync(keyPath, "utf8"), cert: readFileSync(certPath, "utf8") };
}
