/**
 * The official SDK, unmodified, against the RPC server and the guest's own agent, without a VM: the traps of the
 * protocol that only its own client springs. (test/vm has it against a whole sandbox.)
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { WebSocketServer } from "ws";
import { type RpcConnection, serveConnection } from "../../../src/supervisor/rpc/connection.ts";
import { createGuestState } from "../../../src/supervisor/rpc/guest-state.ts";
import { openRealLink } from "./real-agent.ts";
import { INFO } from "./rpc-harness.ts";

const ID = "sbx_loc_00000000000000000000";

interface SdkBench {
  sandbox: Sandbox;
  home: string;
  /** The server's end of the SDK's connection. */
  connection: RpcConnection;
}

async function openSdk(t: TestContext): Promise<SdkBench> {
  // The SDK talks of what it meets after a cancel.
  for (const method of ["error", "log", "debug"] as const) t.mock.method(console, method, () => undefined);
  const { link, home } = await openRealLink(t);
  const env = { PATH: process.env["PATH"] ?? "", HOME: home };
  const state = createGuestState({ link, user: "app", home, env, info: () => INFO });
  const http = createServer();
  const server = new WebSocketServer({ server: http, maxPayload: 128 * 1024 * 1024, perMessageDeflate: false });
  server.on("headers", (headers) => headers.push(`x-deno-sandbox-id: ${ID}`));
  const accepted: RpcConnection[] = [];
  server.on("connection", (socket) => accepted.push(serveConnection(socket, state, { extensions: false })));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  process.env["DENO_SANDBOX_ENDPOINT"] = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  process.env["DENO_DEPLOY_TOKEN"] = "ddo_test";
  const sandbox = await Sandbox.connect({ id: ID });
  const [connection] = accepted;
  assert.ok(connection);
  t.after(async () => {
    await sandbox.close();
    await link[Symbol.asyncDispose]();
    server.close();
    http.close();
    http.closeAllConnections();
  });
  return { sandbox, home, connection };
}

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An endless source of chunks. */
function endless(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      controller.enqueue(new Uint8Array(1000));
      await new Promise((resolve) => setTimeout(resolve, 5));
    },
  });
}

test("breaking off a walk leaves nothing behind that could end the client's process", async (t) => {
  const { sandbox, home } = await openSdk(t);
  await Promise.all(Array.from({ length: 3000 }, (_, i) => fs.writeFile(path.join(home, `file-${i}`), "")));
  for (let round = 0; round < 3; round++) {
    for await (const { path: found } of sandbox.fs.walk(".", {})) {
      assert.equal(found, ".");
      break;
    }
  }
  // Whatever were still to come would come before this.
  assert.equal(await sandbox.sh`pwd`.text(), `${home}\n`);
});

test("a reader's cancel without a reason ends the output of an endless process", async (t) => {
  const { sandbox } = await openSdk(t);
  const child = await sandbox.spawn("yes", { stdout: "piped" });
  const reader = child.stdout?.getReader();
  await reader?.read();
  await reader?.cancel();
  const { signal } = await child.status;
  assert.equal(signal, "SIGPIPE");
});

test("regular expressions of a walk arrive as they are", async (t) => {
  const { sandbox, home } = await openSdk(t);
  await fs.mkdir(path.join(home, "tree/node_modules"), { recursive: true });
  for (const file of ["a.ts", "b.js", "node_modules/c.ts"]) await fs.writeFile(path.join(home, "tree", file), "");
  const found: string[] = [];
  const options = { match: [/\.TS$/i], skip: [/node_modules/], includeDirs: false };
  for await (const entry of sandbox.fs.walk("tree", options)) found.push(entry.path);
  assert.deepEqual(found, ["tree/a.ts"]);
});

test("an aborted write is an AbortError, and aborts of calls that are over are nothing", async (t) => {
  const { sandbox } = await openSdk(t);
  const controller = new AbortController();
  const writing = sandbox.fs.writeFile("endless", endless(), { signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  await assert.rejects(writing, { name: "AbortError" });
  const late = new AbortController();
  await sandbox.fs.readFile("endless", { signal: late.signal });
  late.abort();
  assert.equal(await sandbox.sh`echo on`.text(), "on\n");
});

test("files go both ways through streams, whole and by handle", async (t) => {
  const { sandbox } = await openSdk(t);
  const chunks = Array.from({ length: 40 }, (_, i) => new Uint8Array(100_000).fill(i));
  await sandbox.fs.writeFile("s.bin", ReadableStream.from(chunks));
  assert.ok(Buffer.from(await sandbox.fs.readFile("s.bin")).equals(Buffer.concat(chunks)));
  const file = await sandbox.fs.open("s.bin");
  let bytes = 0;
  for await (const chunk of file.readable) bytes += chunk.length;
  assert.equal(bytes, 4_000_000);
});

test("a process that reads no more rejects the client's writer, and its status comes", async (t) => {
  const { sandbox } = await openSdk(t);
  const child = await sandbox.spawn("true", { stdin: "piped" });
  const writer = child.stdin?.getWriter();
  await assert.rejects(async () => {
    for (;;) {
      await writer?.write(new Uint8Array(100_000));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  });
  assert.equal((await child.status).code, 0);
});

test("fetch: bodies, cookies, failures and aborts", async (t) => {
  const { sandbox } = await openSdk(t);
  const origin = await serve(t, (request, response) => {
    if (request.url === "/hang") return;
    response.setHeader("set-cookie", ["a=1", "b=2"]);
    if (request.url === "/none") response.writeHead(204).end();
    else request.pipe(response);
  });
  const echoed = await sandbox.fetch(`${origin}/`, { method: "POST", body: "hello" });
  assert.equal(await echoed.text(), "hello");
  assert.deepEqual(echoed.headers.getSetCookie(), ["a=1", "b=2"]);
  assert.equal((await sandbox.fetch(`${origin}/none`)).status, 204);
  await assert.rejects(sandbox.fetch("http://127.0.0.1:2/"), { name: "TypeError" });
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 50);
  await assert.rejects(sandbox.fetch(`${origin}/hang`, { signal: controller.signal }), { name: "AbortError" });
});

test("fifty commands at once do not mix their outputs", async (t) => {
  const { sandbox } = await openSdk(t);
  const outputs = await Promise.all(Array.from({ length: 50 }, async (_, i) => sandbox.sh`echo ${i}`.text()));
  assert.deepEqual(
    outputs,
    Array.from({ length: 50 }, (_, i) => `${i}\n`),
  );
});

test("kills: by signal, twice, and of a process that is gone", async (t) => {
  const { sandbox } = await openSdk(t);
  const controller = new AbortController();
  const child = await sandbox.spawn("sleep", { args: ["50"], signal: controller.signal });
  controller.abort();
  assert.equal((await child.status).signal, "SIGTERM");
  await child.kill();
});

test("a tree is uploaded, and downloaded the same", async (t) => {
  const { sandbox, home } = await openSdk(t);
  const local = path.join(home, "local");
  await fs.mkdir(path.join(local, "sub"), { recursive: true });
  await fs.writeFile(path.join(local, "sub/file"), "content");
  await fs.symlink("sub/file", path.join(local, "link"));
  await sandbox.fs.mkdir("up");
  await sandbox.fs.upload(local, "up");
  await fs.mkdir(path.join(home, "down"));
  await sandbox.fs.download("up/local", path.join(home, "down"));
  assert.equal(await fs.readFile(path.join(home, "down/local/link"), "utf8"), "content");
});

test("when the server closes, a reader is told and does not wait for ever", async (t) => {
  const { sandbox, connection } = await openSdk(t);
  const child = await sandbox.spawn("yes", { stdout: "piped" });
  const reader = child.stdout?.getReader();
  await reader?.read();
  connection.close(1001, "the sandbox has expired");
  await assert.rejects(async () => {
    for (;;) await reader?.read();
  }, /the sandbox has expired/);
});
