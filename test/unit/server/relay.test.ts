/** Between a client and its sandbox: bytes as they are, back-pressure, ends, and what a client may not say. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { Relays } from "../../../src/server/relay/relays.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { configHeader, openBench, rawRequest, SANDBOX_ID, upgradeLines } from "./harness.ts";
import { openSandboxRpc } from "./fake-sandbox-rpc.ts";

const CONNECT = `/api/v3/sandbox/${SANDBOX_ID}/connect`;
const CREATE = "/api/v3/sandboxes/create";

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test("bytes pass as they are in both directions, and the answer has the sandbox's id and a trace id", async (t) => {
  const { url, token, runtime } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const lines = upgradeLines(CONNECT, token, ["X-Sbx-Extensions: 1", "X-Sbx-Primary: stolen", "Cookie: canary"]);
  const { socket, head } = await rawRequest(url, lines, "early");
  assert.match(head, /^HTTP\/1\.1 101 /);
  assert.match(head, new RegExp(`x-deno-sandbox-id: ${SANDBOX_ID}`));
  assert.match(head, /x-deno-trace-id: [0-9a-f]{32}/);
  const { socket: supervisor, handshake } = await rpc.accept();
  // Of what the client said only the handshake: no token, nothing that would make it a session's owner.
  assert.deepEqual([...handshake.map(([name]) => name)].sort(), [
    "sec-websocket-key",
    "sec-websocket-version",
    "x-sbx-extensions",
  ]);
  const [early] = (await once(supervisor, "data")) as [Buffer];
  assert.equal(early.toString(), "early");
  supervisor.write(Buffer.from([0x82, 0x03, 0xff, 0x00, 0x80]));
  const [frame] = (await once(socket, "data")) as [Buffer];
  assert.deepEqual([...frame], [0x82, 0x03, 0xff, 0x00, 0x80]);
  socket.destroy();
  await once(supervisor.resume(), "end");
});

test("a client that does not read holds up its sandbox, and no memory of the server's", async (t) => {
  const { url, token, runtime } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const { socket } = await rawRequest(url, upgradeLines(CONNECT, token));
  socket.pause();
  const { socket: supervisor } = await rpc.accept();
  const frame = Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 16, 0, 0]), Buffer.alloc(1024 * 1024)]);
  // Socket buffers of the kernel take some megabytes; after them nothing goes on.
  for (let sent = 0; sent < 64; sent++) supervisor.write(frame);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok(
    supervisor.writableLength > 32 * 1024 * 1024,
    `${supervisor.writableLength} bytes still wait at the sandbox`,
  );
  let received = 0;
  socket.on("data", (chunk: Buffer) => (received += chunk.length)).resume();
  await until(() => received === 64 * frame.length);
  socket.destroy();
});

test("a session whose client vanishes is over, and one with a lifetime is not", async (t) => {
  const { url, token, runtime } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  const session = await rawRequest(url, upgradeLines(CREATE, token, [`x-deno-sandbox-config: ${configHeader()}`]));
  const header = configHeader({ stop_at_ms: Date.now() + 60_000 });
  const lasting = await rawRequest(url, upgradeLines(CREATE, token, [`x-deno-sandbox-config: ${header}`]));
  const [first, second] = [await rpc.accept(), await rpc.accept()];
  session.socket.resetAndDestroy();
  lasting.socket.resetAndDestroy();
  await Promise.all([once(first.socket.resume(), "end"), once(second.socket.resume(), "end")]);
  await until(() => runtime.find(first.id).status === "stopped");
  assert.equal(runtime.find(second.id).status, "running");
});

test("a sandbox that ends says so itself, and the client's connection ends with it", async (t) => {
  const { url, token, runtime } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const { socket } = await rawRequest(url, upgradeLines(CONNECT, token));
  const { socket: supervisor } = await rpc.accept();
  supervisor.end(Buffer.from([0x88, 0x02, 0x03, 0xe9]));
  const received: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => received.push(chunk));
  await once(socket, "end");
  assert.deepEqual([...Buffer.concat(received)], [0x88, 0x02, 0x03, 0xe9]);
});

test("a client that hangs up while its sandbox is made leaves none behind", async (t) => {
  const { url, token, runtime, log } = await openBench(t);
  const gate = Promise.withResolvers<undefined>();
  runtime.createGate = gate.promise;
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(`${upgradeLines(CREATE, token, [`x-deno-sandbox-config: ${configHeader()}`]).join("\r\n")}\r\n\r\n`);
  await until(() => runtime.calls.some(({ method }) => method === "create"));
  socket.destroy();
  // It is given up, not waited for: the gate stays shut.
  await until(() => log().includes('"status":499'));
  gate.resolve(undefined);
  assert.deepEqual(runtime.sandboxes, []);
});

test("a sandbox whose RPC cannot be reached is taken away again, and the client is told", async (t) => {
  const { url, token, runtime } = await openBench(t);
  const { head } = await rawRequest(url, upgradeLines(CREATE, token, [`x-deno-sandbox-config: ${configHeader()}`]));
  assert.match(head, /^HTTP\/1\.1 404 /);
  assert.equal(runtime.sandboxes[0]?.status, "stopped");
});

test("a handshake that no sandbox would accept makes none", async (t) => {
  const { url, token, runtime } = await openBench(t);
  const config = `x-deno-sandbox-config: ${configHeader()}`;
  const lines = upgradeLines(CREATE, token, [config]);
  const cases = [
    lines.filter((line) => !line.startsWith("Sec-WebSocket-Key")),
    lines.map((line) => line.replace("Version: 13", "Version: 8")),
    lines.map((line) => line.replace("Upgrade: websocket", "Upgrade: h2c")),
    lines.filter((line) => !line.startsWith("x-deno-sandbox-config")),
    [...lines.slice(0, -1), "x-deno-sandbox-config: %%%"],
    [...lines.slice(0, -1), `x-deno-sandbox-config: ${Buffer.from("{").toString("base64")}`],
  ];
  for (const wrong of cases) {
    const { head, socket } = await rawRequest(url, wrong);
    assert.match(head, /^HTTP\/1\.1 4(00|26) /);
    assert.match(head, /content-type: application\/json/);
    await once(socket.resume(), "end");
  }
  assert.deepEqual(
    runtime.calls.filter(({ method }) => method === "create"),
    [],
  );
});

test("fields of a request up to 256 KiB are taken, and more are refused with a reason", async (t) => {
  const { url, token, runtime } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  const secrets = Object.fromEntries(
    Array.from({ length: 10 }, (_, at) => [`KEY_${at}`, { hosts: ["example.com"], value: "v".repeat(15_000) }]),
  );
  const large = await rawRequest(
    url,
    upgradeLines(CREATE, token, [`x-deno-sandbox-config: ${configHeader({ secrets })}`]),
  );
  assert.match(large.head, /^HTTP\/1\.1 101 /);
  large.socket.destroy();
  const { head, socket } = await rawRequest(url, upgradeLines(CREATE, token, [`x-filler: ${"a".repeat(300 * 1024)}`]));
  assert.match(head, /^HTTP\/1\.1 431 /);
  assert.match(await readBody(socket), /"code":"HEADERS_TOO_LARGE"/);
});

test("a server that drains has the sandbox end its client's streams before it says goodbye in the sandbox's place", async (t) => {
  const { url, token, runtime, server } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const { socket } = await rawRequest(url, upgradeLines(CONNECT, token));
  const { socket: supervisor } = await rpc.accept();
  const received: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => received.push(chunk));
  const over = server[Symbol.asyncDispose]();
  await once(supervisor.resume(), "end");
  const last = Buffer.from([0x81, 0x02, 0x68, 0x69, 0x82, 0x01]);
  supervisor.write(last);
  await until(() => Buffer.concat(received).length === last.length);
  // Its own Close comes together with the end of a frame.
  supervisor.end(Buffer.from([9, 0x88, 0x02, 0x03, 0xe8]));
  await once(socket, "end");
  await over;
  const bytes = Buffer.concat(received);
  assert.deepEqual([...bytes.subarray(0, 7)], [...last, 9]);
  assert.deepEqual([bytes[7], bytes.readUInt16BE(9), bytes[8]], [0x88, 1001, bytes.length - 9]);
});

test("a server that drains says goodbye between two frames, keeps what has a lifetime, and takes nothing new", async (t) => {
  const { url, token, runtime, server } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  const header = configHeader({ stop_at_ms: Date.now() + 60_000 });
  const lasting = await rawRequest(url, upgradeLines(CREATE, token, [`x-deno-sandbox-config: ${header}`]));
  const session = await rawRequest(url, upgradeLines(CREATE, token, [`x-deno-sandbox-config: ${configHeader()}`]));
  const [first, second] = [await rpc.accept(), await rpc.accept()];
  // Half of a frame is out when the server is told to end.
  first.socket.write(Buffer.from([0x82, 0x04, 1, 2]));
  const received: Buffer[] = [];
  lasting.socket.on("data", (chunk: Buffer) => received.push(chunk));
  await until(() => Buffer.concat(received).length === 4);
  const over = server[Symbol.asyncDispose]();
  // A sandbox that has no Close to say itself.
  await once(first.socket.resume(), "end");
  first.socket.end(Buffer.from([3, 4]));
  session.socket.resume();
  second.socket.resume().once("end", () => second.socket.end());
  await once(lasting.socket, "end");
  await over;
  const bytes = Buffer.concat(received);
  assert.deepEqual([...bytes.subarray(0, 6)], [0x82, 0x04, 1, 2, 3, 4]);
  const [opcode, length] = bytes.subarray(6);
  assert.deepEqual([opcode, bytes.readUInt16BE(8), length], [0x88, 1001, bytes.length - 8]);
  assert.equal(runtime.find(first.id).status, "running");
  assert.equal(runtime.find(second.id).status, "stopped");
  await assert.rejects(fetch(`${url}/healthz`));
});

test("a connection that is made while the server drains is closed like the others", async () => {
  const relays = new Relays();
  await relays.closeAll("the server is going away");
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const codes: number[] = [];
  const close = (code: number): void => {
    codes.push(code);
    resolve();
  };
  await relays.track({ closed, close }, { tokenId: "tok_1", organisation: "local", scopes: [] });
  assert.deepEqual([codes, relays.size], [[1001], 0]);
});

test("what is not HTTP is answered, and the connection closed", async (t) => {
  const { url } = await openBench(t);
  const { head } = await rawRequest(url, ["\u0001\u0002garbage"]);
  assert.match(head, /^HTTP\/1\.1 400 /);
});

async function readBody(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}
