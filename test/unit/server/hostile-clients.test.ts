/** What clients do to a server's connections: slow ones, vanishing ones, and bytes that are meant to be read two ways. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { sandboxInfo } from "../../fake-runtime.ts";
import { openSandboxRpc } from "./fake-sandbox-rpc.ts";
import { configHeader, openBench, SANDBOX_ID, upgradeLines, type ServerBench } from "./harness.ts";

const CONNECT = `/api/v3/sandbox/${SANDBOX_ID}/connect`;

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}

async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

/** All that comes until the server hangs up. */
async function exchange(url: string, bytes: string | Buffer): Promise<string> {
  const socket = await open(url);
  socket.write(bytes);
  return readAll(socket);
}

async function readAll(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  if (!socket.destroyed) await once(socket, "close");
  return text;
}

function get(bench: ServerBench, path: string, more: string[] = []): string {
  return [`GET ${path} HTTP/1.1`, "Host: sbx.test", `Authorization: Bearer ${bench.token}`, ...more, "", ""].join(
    "\r\n",
  );
}

function post(bench: ServerBench, more: string[], body = ""): string {
  const lines = ["POST /api/v2/volumes HTTP/1.1", "Host: sbx.test", `Authorization: Bearer ${bench.token}`, ...more];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

/** Status lines of answers that came on one connection. */
const statuses = (text: string): number[] => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, code]) => Number(code));

test("a client that vanishes in the middle of its body is no failure of the server's", async (t) => {
  const bench = await openBench(t);
  const socket = await open(bench.url);
  socket.write(post(bench, ["Content-Length: 100"], '{"slug":'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  socket.resetAndDestroy();
  await until(() => bench.log().includes('"status":'));
  assert.match(bench.log(), /"status":499,.*"code":"CLIENT_GONE"/);
  assert.doesNotMatch(bench.log(), /"event":"failure"/);
  assert.equal((await bench.call("GET", "/api/v2/volumes")).status, 200);
});

test("a WebSocket that is asked for behind a request that is not answered yet waits for that answer", async (t) => {
  const bench = await openBench(t);
  const { runtime, token, url } = bench;
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const gate = Promise.withResolvers<undefined>();
  const list = runtime.list.bind(runtime);
  runtime.list = async (options) => {
    await gate.promise;
    return list(options);
  };
  const socket = await open(url);
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  socket.write(`${get(bench, "/api/v2/sandboxes")}${upgradeLines(CONNECT, token).join("\r\n")}\r\n\r\nearly`);
  await new Promise((resolve) => setTimeout(resolve, 50));
  gate.resolve(undefined);
  const { socket: supervisor } = await rpc.accept();
  supervisor.write(Buffer.from([0x81, 0x02, 0x68, 0x69]));
  await until(() => text.endsWith("hi"));
  assert.deepEqual(statuses(text), [200, 101]);
  // Behind the answer of the handshake there is nothing but what the sandbox said.
  assert.match(text, /\r\n\r\n\x81\x02hi$/);
  socket.destroy();
});

test("what is no HTTP behind a request that is not answered yet does not get ahead of its answer", async (t) => {
  const bench = await openBench(t);
  const gate = Promise.withResolvers<undefined>();
  bench.runtime.list = async () => {
    await gate.promise;
    return [];
  };
  const answer = exchange(bench.url, `${get(bench, "/api/v2/sandboxes")}\u0001garbage\r\n\r\n`);
  await new Promise((resolve) => setTimeout(resolve, 20));
  gate.resolve(undefined);
  assert.ok([0, 200].includes(statuses(await answer)[0] ?? 0));
});

test("a client that sends its body, its fields or nothing by and by does not hold up a server that drains", async (t) => {
  const bench = await openBench(t);
  const slow = [post(bench, ["Content-Length: 100"], '{"slug"'), "GET /api/v2/volumes HTTP/1.1\r\nHost:", ""];
  const sockets = await Promise.all(
    slow.map(async (bytes) => {
      const socket = await open(bench.url);
      socket.write(bytes);
      return socket;
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  const ends = sockets.map(async (socket) => readAll(socket));
  await bench.server[Symbol.asyncDispose]();
  await Promise.all(ends);
});

test("slow fields and slow bodies are given up, and the client is told", async (t) => {
  const bench = await openBench(t, {}, { timeouts: { headersMs: 100, requestMs: 200, checkMs: 50 } });
  const answers = await Promise.all([
    exchange(bench.url, "GET /api/v2/volumes HTTP/1.1\r\nHost: x\r\nX-Slow:"),
    exchange(bench.url, post(bench, ["Content-Length: 100"], '{"slug"')),
    exchange(bench.url, post(bench, ["Transfer-Encoding: chunked"], "5\r\n{")),
  ]);
  for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 4\d\d [\s\S]*"code":"\w+"/);
});

test("a sandbox that does not read holds up its client, and no memory of the server's", async (t) => {
  const { url, token, runtime } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const socket = await open(url);
  socket.write(`${upgradeLines(CONNECT, token).join("\r\n")}\r\n\r\n`);
  const { socket: supervisor } = await rpc.accept();
  supervisor.pause();
  const chunk = Buffer.alloc(1024 * 1024);
  for (let sent = 0; sent < 64; sent++) socket.write(chunk);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok(socket.writableLength > 32 * 1024 * 1024, `${socket.writableLength} bytes still wait at the client`);
  let received = 0;
  supervisor.on("data", (bytes: Buffer) => (received += bytes.length)).resume();
  await until(() => received === 64 * chunk.length);
  socket.destroy();
});

test("clients that vanish in any state, with or without a word, leave no connection and no failure", async (t) => {
  const bench = await openBench(t, { quotas: { creationsPerMinute: 1000, sandboxes: 1000 } });
  const { url, token, runtime } = bench;
  const rpc = await openSandboxRpc(t);
  runtime.rpc = async (...call) => {
    const connection = await rpc.open(...call);
    // As a supervisor does, this one notices.
    const { socket } = await rpc.accept();
    socket.resume().once("end", () => socket.end());
    return connection;
  };
  runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const handshake = `${upgradeLines(CONNECT, token).join("\r\n")}\r\n\r\n`;
  const config = `x-deno-sandbox-config: ${configHeader()}`;
  const creation = `${upgradeLines("/api/v3/sandboxes/create", token, [config]).join("\r\n")}\r\n\r\n`;
  const states: [title: string, bytes: string, answers: RegExp | undefined][] = [
    ["before a word", "", undefined],
    ["in the first line", "GET /api/v2/vol", undefined],
    ["in the fields", "GET /api/v2/volumes HTTP/1.1\r\nHost: x\r\nAuth", undefined],
    ["in a body", post(bench, ["Content-Length: 100"], '{"slug"'), undefined],
    ["in a chunk", post(bench, ["Transfer-Encoding: chunked"], "50\r\n{"), undefined],
    ["behind a request", get(bench, "/api/v2/sandboxes"), undefined],
    ["behind many", get(bench, "/api/v2/sandboxes").repeat(200), undefined],
    ["behind an answer", get(bench, "/api/v2/sandboxes"), /200 OK/],
    ["behind a refusal", get(bench, "/nothing"), /404/],
    ["behind a refused handshake", handshake.replace("Version: 13", "Version: 8"), /400/],
    ["in a handshake", handshake.slice(0, -30), undefined],
    ["behind a handshake", handshake, undefined],
    ["behind a handshake's answer", handshake, /101/],
    ["in a frame", `${handshake}\x82\xfe\x10\x00abcd`, /101/],
    ["while a sandbox is made", creation, undefined],
    ["behind what is no HTTP", "\x16\x03\x01\x02\x00", undefined],
  ];
  for (const [, bytes, answer] of states) {
    for (const leave of ["destroy", "resetAndDestroy", "end"] as const) {
      const socket = await open(url);
      const closed = new Promise((resolve) => void socket.once("close", resolve));
      let text = "";
      socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
      if (bytes !== "") socket.write(bytes, "latin1");
      if (answer !== undefined) await until(() => answer.test(text));
      else if (leave === "end") await new Promise((resolve) => setTimeout(resolve, 5));
      socket[leave]();
      await closed;
    }
  }
  for (;;) {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    if (/^sbx_connections 0$/m.test(metrics)) break;
  }
  await until(() => runtime.sandboxes.every(({ id, status }) => id === SANDBOX_ID || status === "stopped"));
  assert.doesNotMatch(bench.log(), /"event":"failure"|"status":5\d\d/);
  assert.equal((await bench.call("GET", "/api/v2/volumes")).status, 200);
});
