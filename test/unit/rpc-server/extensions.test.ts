/** The calls of docs/protocol-supervisor.md against the guest's own agent. */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { openRealBench } from "./real-agent.ts";
import { INFO, type TestClient } from "./rpc-harness.ts";

test("sbx.info is the sandbox as its supervisor sees it, sbx.stats what the guest says", async (t) => {
  const { client } = await openRealBench(t, { extensions: true });
  assert.deepEqual(await client.call("sbx.info", {}), INFO);
  const stats = await client.call<Record<string, number>>("sbx.stats", {});
  assert.deepEqual(Object.keys(stats).sort(), ["memoryAvailable", "memoryTotal", "oomKills", "processes"]);
});

async function echoServer(t: TestContext): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test("sbx.connect carries bytes both ways, and each direction ends by itself", async (t) => {
  const { client } = await openRealBench(t, { extensions: true });
  const port = await echoServer(t);
  client.notify("$sandbox.stream.start", { streamId: 1 });
  const { streamId } = await client.call<{ streamId: number }>("sbx.connect", { port, stdinStreamId: 1 });
  client.binary(1, "there ");
  await client.until(() => client.stream(streamId).includes("data:there "));
  client.binary(1, "and back");
  client.notify("$sandbox.stream.end", { streamId: 1 });
  assert.equal((await client.streamBytes(streamId)).toString(), "there and back");
  assert.equal(client.stream(streamId).at(-1), "end");
});

test("sbx.connect to a port that nobody listens on is ConnectionRefused, and the client's stream is cancelled", async (t) => {
  const { client } = await openRealBench(t, { extensions: true });
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  client.notify("$sandbox.stream.start", { streamId: 1 });
  const error = await client.callError("sbx.connect", { port, stdinStreamId: 1 });
  assert.equal(error.constructorName, "ConnectionRefused");
  assert.equal(error.message, `Connection refused (os error 111): connect to port ${port}`);
  assert.equal((await client.message((m) => m.method === "$sandbox.stream.cancel")).params?.streamId, 1);
});

test("sbx.connect reaches a Unix socket, and each direction ends by itself", async (t) => {
  const { client, home } = await openRealBench(t, { extensions: true });
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.end("done first; ");
    void socket.toArray().then((chunks) => received.resolve(Buffer.concat(chunks as Buffer[]).toString()));
  });
  const received = Promise.withResolvers<string>();
  server.listen(path.join(home, "door"));
  await once(server, "listening");
  t.after(() => server.close());
  client.notify("$sandbox.stream.start", { streamId: 1 });
  const { streamId } = await client.call<{ streamId: number }>("sbx.connect", { path: "door", stdinStreamId: 1 });
  assert.equal((await client.streamBytes(streamId)).toString(), "done first; ");
  client.binary(1, "and read to the end");
  client.notify("$sandbox.stream.end", { streamId: 1 });
  assert.equal(await received.promise, "and read to the end");
});

test("sbx.connect names the Unix socket that nobody listens on, and takes either a port or a path", async (t) => {
  const { client, home } = await openRealBench(t, { extensions: true });
  client.notify("$sandbox.stream.start", { streamId: 1 });
  const missing = await client.callError("sbx.connect", { path: "none", stdinStreamId: 1 });
  assert.equal(missing.constructorName, "NotFound");
  assert.equal(missing.message, `No such file or directory (os error 2): connect to '${home}/none'`);
  for (const params of [{ path: "none", port: 1 }, { path: "none", host: "localhost" }, { port: 1, user: "app" }, {}]) {
    client.notify("$sandbox.stream.start", { streamId: 3 });
    const error = await client.callError("sbx.connect", { ...params, stdinStreamId: 3 });
    assert.match(error.message, /takes a port and perhaps a host, or a path and perhaps a user/);
  }
});

test("sbx.connect closes the connection when its client leaves", async (t) => {
  const { connect } = await openRealBench(t);
  const { client } = await connect({ extensions: true });
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const accepted = once(server, "connection");
  await client.call("sbx.connect", { port: (server.address() as AddressInfo).port, stdinStreamId: 1 });
  const [socket] = (await accepted) as [Socket];
  socket.on("error", () => undefined);
  socket.resume();
  const closed = new Promise((resolve) => socket.once("close", resolve));
  client.socket.terminate();
  await closed;
});

async function copyOut(client: TestClient, params: unknown): Promise<{ stream: Buffer; report: unknown }> {
  const { streamId } = await client.call<{ streamId: number }>("sbx.copySend", params);
  const stream = await client.streamBytes(streamId);
  return { stream, report: await client.call("sbx.copyWait", { streamId }) };
}

test("a copy stream out of the guest goes back into it as the same tree", async (t) => {
  const { client, home } = await openRealBench(t, { extensions: true });
  await fs.mkdir(path.join(home, "from/sub"), { recursive: true });
  await fs.mkdir(path.join(home, "to"));
  await fs.writeFile(path.join(home, "from/sub/file"), "content", { mode: 0o640 });
  await fs.symlink("sub/file", path.join(home, "from/link"));
  const { stream, report } = await copyOut(client, { paths: ["from"], globs: false });
  assert.deepEqual(report, { entries: 4, bytes: 7, skipped: [] });
  const id = client.request("sbx.copyReceive", { destination: "to", directory: true, streamId: 1 });
  client.binary(1, stream);
  client.notify("$sandbox.stream.end", { streamId: 1 });
  assert.deepEqual((await client.reply(id)).result, { ok: { entries: 4, bytes: 7, skipped: [] } });
  assert.equal(await fs.readFile(path.join(home, "to/from/link"), "utf8"), "content");
  assert.equal((await fs.stat(path.join(home, "to/from/sub/file"))).mode & 0o777, 0o640);
});

test("a source that is not there fails the stream and the wait; the report is told once", async (t) => {
  const { client } = await openRealBench(t, { extensions: true });
  const { streamId } = await client.call<{ streamId: number }>("sbx.copySend", { paths: ["none"], globs: false });
  await client.streamBytes(streamId);
  assert.equal(client.stream(streamId).at(-1), "error");
  const error = await client.callError("sbx.copyWait", { streamId });
  assert.deepEqual([error.constructorName, error.code], ["NotFound", "ENOENT"]);
  assert.match((await client.callError("sbx.copyWait", { streamId })).message, /no copy has the stream/);
});

test("a copy stream that is none fails the call", async (t) => {
  const { client } = await openRealBench(t, { extensions: true });
  const id = client.request("sbx.copyReceive", { destination: "to", directory: true, streamId: 1 });
  client.binary(1, Buffer.alloc(100, 0xff));
  const { error } = (await client.reply(id)).result ?? {};
  assert.ok(error);
});

test("a terminal has its size, echoes, and takes a new size", async (t) => {
  const { client } = await openRealBench(t, { extensions: true });
  const { pid, stdoutStreamId } = await client.call<{ pid: number; stdoutStreamId: number }>("spawn", {
    command: "bash",
    args: ["-c", "stty size; read line; stty size; echo got $line"],
    stdout: "piped",
    stderr: "null",
    stdinStreamId: 1,
    sbx: { pty: { cols: 91, rows: 23 } },
  });
  await client.until(() => client.stream(stdoutStreamId).join("").includes("23 91"));
  await client.call("sbx.resize", { pid, cols: 40, rows: 12 });
  client.binary(1, "input\n");
  const shown = (await client.streamBytes(stdoutStreamId)).toString();
  assert.match(shown, /12 40/);
  assert.match(shown, /got input/);
  assert.equal((await client.call<{ code: number }>("processWait", { pid })).code, 0);
});

test("a shell's output, errors, exit code and stdin are those of the process", async (t) => {
  const { client } = await openRealBench(t);
  client.chunk(1, "from stdin");
  client.notify("$sandbox.stream.end", { streamId: 1 });
  const started = await client.call<{ pid: number; stdoutStreamId: number; stderrStreamId: number }>("spawn", {
    command: "bash",
    args: ["-c", "cat; echo err >&2; exit 42"],
    stdout: "piped",
    stderr: "piped",
    stdinStreamId: 1,
  });
  const status = await client.call("processWait", { pid: started.pid });
  assert.deepEqual(status, { success: false, code: 42, signal: null, oom: null });
  assert.equal((await client.streamBytes(started.stdoutStreamId)).toString(), "from stdin");
  assert.equal((await client.streamBytes(started.stderrStreamId)).toString(), "err\n");
});

test("a command or a directory that is not there is told apart by the guest", async (t) => {
  const { client, home } = await openRealBench(t);
  const stdio = { stdout: "null", stderr: "null" };
  const command = await client.callError("spawn", { command: "no-such-program", ...stdio });
  assert.equal(command.message, "Failed to spawn 'no-such-program': No such file or directory (os error 2)");
  const cwd = await client.callError("spawn", { command: "true", cwd: "nowhere", ...stdio });
  assert.match(cwd.message, new RegExp(`^No such cwd '${home}/nowhere'`));
  await fs.writeFile(path.join(home, "script"), "not a program", { mode: 0o644 });
  const denied = await client.callError("spawn", { command: "./script", ...stdio });
  assert.equal(denied.code, "EACCES");
});
