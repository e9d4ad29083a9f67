/** The connection: how it comes about, what it refuses, and what becomes of calls when it goes. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { RemoteError } from "../../../src/protocol/rpc-error.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { type ConnectOptions, connectRpc } from "../../../src/runtime/sandbox/rpc-client.ts";
import { Scratch } from "../copy/scratch.ts";
import { Answer, type FakeServer, startFakeServer } from "./fake-server.ts";

/** Each of the two ways to connect; what holds of one holds of the other. */
const DIALERS: [string, (server: FakeServer) => ConnectOptions][] = [
  ["Unix socket", (server) => ({ socketPath: server.socketPath, requestPath: "/api/v3/sandbox/x/connect" })],
  ["URL", (server) => ({ url: server.url })],
];

async function failure(promise: Promise<unknown>): Promise<SbxError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof SbxError, String(error));
    return error;
  }
  throw new Error("it did not fail");
}

/** A server that answers every connection with these bytes. */
async function rawServer(path: string, answer: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => answer(socket));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

for (const [name, dial] of DIALERS) {
  test(`${name}: the handshake asks for the extensions, carries headers and the primary token, and learns the id`, async () => {
    await using server = await startFakeServer();
    const headers = { authorization: "Bearer t" };
    await using client = await connectRpc({ ...dial(server), headers, primary: "token" });
    assert.equal(client.hasExtensions, true);
    assert.equal(client.sandboxId, "sbx_loc_00000000000000000000");
    const asked = server.connection.request;
    assert.equal(asked.url, "/api/v3/sandbox/x/connect");
    assert.equal(asked.headers["x-sbx-extensions"], "1");
    assert.equal(asked.headers["x-sbx-primary"], "token");
    assert.equal(asked.headers.authorization, "Bearer t");
  });

  test(`${name}: without the server's word there are no extensions`, async () => {
    await using server = await startFakeServer({ extensions: false });
    await using client = await connectRpc(dial(server));
    assert.equal(client.hasExtensions, false);
    assert.equal((await failure(client.call("sbx.info", {}))).code, "unsupported");
  });

  test(`${name}: a refusal becomes an error with its code, words and hint`, async () => {
    const cases: [number, string, string, RegExp][] = [
      [404, '{"code":"SANDBOX_NOT_FOUND","message":"no sandbox x"}', "sandbox_not_found", /^no sandbox x \(status 404/],
      [401, '{"code":"INVALID_TOKEN","message":"bad token"}', "not_authenticated", /^bad token/],
      [500, '{"code":"disk_full","message":"full"}', "disk_full", /^full/],
      [502, "<html>Bad gateway</html>", "connection_closed", /refused the connection: <html>Bad gateway/],
      [410, "", "sandbox_stopped", /refused the connection \(status 410\)/],
    ];
    for (const [status, body, code, message] of cases) {
      await using server = await startFakeServer({ refuse: { status, body } });
      const error = await failure(connectRpc(dial(server)));
      assert.equal(error.code, code);
      assert.match(error.message, message);
    }
    await using server = await startFakeServer({
      refuse: { status: 409, body: '{"code":"sandbox_stopped","message":"gone","hint":"sbx list"}' },
    });
    assert.equal((await failure(connectRpc(dial(server)))).hint, "sbx list");
  });

  test(`${name}: calls are answered in any order, each with its own answer`, async () => {
    const gate = Promise.withResolvers<string>();
    await using server = await startFakeServer({
      methods: {
        envGet: ({ key }) => (key === "slow" ? gate.promise : `value of ${key}`),
        envSet: () => null,
      },
    });
    await using client = await connectRpc(dial(server));
    const slow = client.call("envGet", { key: "slow" });
    assert.equal(await client.call("envGet", { key: "quick" }), "value of quick");
    assert.equal(await client.call("envSet", { key: "a", value: "b" }), null);
    gate.resolve("at last");
    assert.equal(await slow, "at last");
  });

  test(`${name}: an error of the other end keeps its class and code`, async () => {
    await using server = await startFakeServer({
      methods: {
        stat: () => {
          throw new Answer({ constructorName: "NotFound", message: "gone", code: "ENOENT", sbx: { path: "/x" } });
        },
      },
    });
    await using client = await connectRpc(dial(server));
    await assert.rejects(client.call("stat", { path: "/x" }), (error) => {
      assert.ok(error instanceof RemoteError);
      assert.deepEqual([error.constructorName, error.code, error.detail.path], ["NotFound", "ENOENT", "/x"]);
      return true;
    });
  });

  test(`${name}: an answer of the wrong shape fails the call and leaves the connection`, async () => {
    await using server = await startFakeServer({ methods: { envGet: () => 5, envSet: () => null } });
    await using client = await connectRpc(dial(server));
    const error = await failure(client.call("envGet", { key: "a" }));
    assert.match(error.message, /gave a wrong answer to envGet/);
    assert.equal(await client.call("envSet", { key: "a", value: "" }), null);
  });

  test(`${name}: an unknown method is unsupported, wrong params are an internal error`, async () => {
    await using server = await startFakeServer({ methods: { envSet: () => null } });
    await using client = await connectRpc(dial(server));
    assert.equal((await failure(client.call("umask", {}))).code, "unsupported");
    const error = await failure(client.call("envSet", { key: "", value: "" }));
    assert.match(error.message, /Invalid params \(code -32602\)/);
  });

  test(`${name}: when the connection goes, every pending call fails with connection_closed and the reason`, async () => {
    await using server = await startFakeServer({ methods: { envGet: () => new Promise(() => undefined) } });
    const client = await connectRpc(dial(server));
    const pending = [client.call("envGet", { key: "a" }), client.call("envGet", { key: "b" })];
    await server.connection.until(() => server.connection.calls.length === 2);
    server.connection.socket.close(1001, "expired");
    for (const call of pending) {
      const error = await failure(call);
      assert.equal(error.code, "connection_closed");
      assert.match(error.message, /was closed: expired/);
    }
    assert.match((await client.closed)?.message ?? "", /expired/);
    assert.equal((await failure(client.call("envGet", { key: "c" }))).code, "connection_closed");
  });

  test(`${name}: a connection that breaks says so`, async () => {
    await using server = await startFakeServer();
    const client = await connectRpc(dial(server));
    server.connection.socket.terminate();
    assert.match((await client.closed)?.message ?? "", /broke/);
  });

  test(`${name}: closing from this side is no failure, closes with a handshake and can be done twice`, async () => {
    await using server = await startFakeServer();
    const client = await connectRpc(dial(server));
    const code = new Promise((resolve) => server.connection.socket.once("close", resolve));
    await Promise.all([client.close(), client.close()]);
    await client[Symbol.asyncDispose]();
    assert.equal(await client.closed, undefined);
    assert.equal(await code, 1005);
  });

  test(`${name}: a server that sends nonsense is left with the code that says why`, async () => {
    const cases: [string | Buffer, number][] = [
      ["{", 4000],
      ["null", 4001],
      ['{"jsonrpc":"2.0","id":null,"result":{"ok":1}}', 4001],
      ['{"jsonrpc":"2.0","id":5,"method":"please"}', 4001],
      ['{"jsonrpc":"2.0","method":"$sandbox.stream.end","params":{"streamId":"x"}}', 4001],
      [Buffer.from([1, 0, 0]), 4001],
      [Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 65]), 4001],
    ];
    for (const [message, code] of cases) {
      await using server = await startFakeServer();
      const client = await connectRpc(dial(server));
      const closed = new Promise((resolve) => server.connection.socket.once("close", resolve));
      server.connection.socket.send(message);
      assert.equal(await closed, code, String(message));
      const reason = await client.closed;
      assert.equal(reason?.code, "connection_closed");
      assert.match(reason.message, /broke the protocol/);
    }
  });

  test(`${name}: replies with unknown ids and unknown notifications are passed over`, async () => {
    await using server = await startFakeServer({ methods: { envGet: () => "v" } });
    await using client = await connectRpc(dial(server));
    server.connection.socket.send('{"jsonrpc":"2.0","id":999,"result":{"ok":1}}');
    server.connection.socket.send('{"jsonrpc":"2.0","id":"x","result":{"ok":1}}');
    server.connection.socket.send('{"jsonrpc":"2.0","method":"$future.thing","params":{}}');
    assert.equal(await client.call("envGet", { key: "a" }), "v");
  });

  test(`${name}: an aborted call rejects at once, its late result is handed over to be undone`, async () => {
    const gate = Promise.withResolvers<null>();
    await using server = await startFakeServer({
      methods: {
        spawn: async () => {
          await gate.promise;
          return { pid: 7, stdoutStreamId: null, stderrStreamId: null };
        },
      },
    });
    await using client = await connectRpc(dial(server));
    const controller = new AbortController();
    const late = Promise.withResolvers<number>();
    const call = client.call(
      "spawn",
      { command: "x", stdout: "piped", stderr: "piped" },
      { signal: controller.signal, onLate: ({ pid }) => late.resolve(pid) },
    );
    await server.connection.until(() => server.connection.calls.length === 1);
    controller.abort();
    assert.equal((await failure(call)).code, "aborted");
    gate.resolve(null);
    assert.equal(await late.promise, 7);
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  });

  test(`${name}: many calls leave no listeners on their signal`, async () => {
    await using server = await startFakeServer({ methods: { envGet: () => "v" } });
    await using client = await connectRpc(dial(server));
    const { signal } = new AbortController();
    for (let index = 0; index < 20; index++) await client.call("envGet", { key: "a" }, { signal });
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  test(`${name}: connecting can be aborted, before and during, and leaves no listener`, async () => {
    await using server = await startFakeServer();
    assert.equal((await failure(connectRpc({ ...dial(server), signal: AbortSignal.abort() }))).code, "aborted");
    const { signal } = new AbortController();
    await using client = await connectRpc({ ...dial(server), signal });
    assert.ok(client instanceof Object);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  test(`${name}: the heartbeat is the text ping, and its answer keeps the connection`, async () => {
    await using server = await startFakeServer();
    await using client = await connectRpc({ ...dial(server), heartbeatMs: 5, silenceMs: 60_000 });
    await server.connection.until(() => server.connection.pings.length >= 3);
    assert.equal(await Promise.race([client.closed, Promise.resolve("open")]), "open");
  });

  test(`${name}: a server that is silent for too long is given up`, async () => {
    await using server = await startFakeServer({ onConnection: (connection) => connection.socket.pause() });
    const client = await connectRpc({ ...dial(server), heartbeatMs: 5, silenceMs: 50 });
    const pending = failure(client.call("envGet", { key: "a" }));
    assert.match((await client.closed)?.message ?? "", /nothing was heard from the sandbox for 50 ms/);
    assert.equal((await pending).code, "connection_closed");
  });
}

test("a socket that is not there, or that nobody listens on, means that the supervisor is gone", async () => {
  using scratch = new Scratch();
  const path = scratch.join("s");
  const absent = await failure(connectRpc({ socketPath: path }));
  assert.equal(absent.code, "supervisor_lost");
  assert.match(absent.message, new RegExp(`no connection to the sandbox at ${path}`));
  assert.equal(absent.hint, "see what became of it: sbx list");
  const server = await rawServer(path, (socket) => socket.destroy());
  assert.equal((await failure(connectRpc({ socketPath: path }))).code, "supervisor_lost");
  server.close();
});

test("what is no sandbox is refused: other protocols, another accept value, an endless head", async () => {
  const cases: [string, RegExp][] = [
    ["SSH-2.0-x\r\n\r\n", /not HTTP\/1\.1/],
    ["HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: wrong\r\n\r\n", /is not a sandbox/],
    [`HTTP/1.1 101 X\r\nx: ${"y".repeat(70_000)}`, /too long/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", /refused the connection: hi \(status 200\)/],
  ];
  for (const [answer, message] of cases) {
    using scratch = new Scratch();
    const server = await rawServer(scratch.join("s"), (socket) => socket.end(answer));
    assert.match((await failure(connectRpc({ socketPath: scratch.join("s") }))).message, message);
    server.close();
  }
});

test("connecting to a server that never answers ends with the abort", async () => {
  using scratch = new Scratch();
  const accepted = Promise.withResolvers<Socket>();
  const server = await rawServer(scratch.join("s"), (socket) => accepted.resolve(socket));
  const controller = new AbortController();
  const connecting = failure(connectRpc({ socketPath: scratch.join("s"), signal: controller.signal }));
  const socket = await accepted.promise;
  controller.abort();
  assert.equal((await connecting).code, "aborted");
  socket.destroy();
  server.close();
});

test("a line break cannot be smuggled into the request's head", async () => {
  await using server = await startFakeServer();
  const headers = { x: "a\r\nx-sbx-primary: stolen" };
  const error = await failure(connectRpc({ socketPath: server.socketPath, headers }));
  assert.match(error.message, /line break/);
});

test("messages that come together with the handshake's answer are not lost", async () => {
  await using server = await startFakeServer({
    onConnection: (connection) => connection.start(5),
    methods: {
      spawn: (_params, connection) => {
        void connection.send(5, Buffer.from("early")).then(() => connection.end(5));
        return { pid: 1, stdoutStreamId: 5, stderrStreamId: null };
      },
    },
  });
  for (const [, dial] of DIALERS) {
    await using client = await connectRpc(dial(server));
    const { stdoutStreamId } = await client.call("spawn", { command: "x", stdout: "piped", stderr: "null" });
    const { stream } = client.openReadable(stdoutStreamId ?? -1);
    assert.equal(Buffer.concat(await stream.toArray()).toString(), "early");
  }
});

test("protocol-level pings are answered", async () => {
  await using server = await startFakeServer();
  await using client = await connectRpc({ socketPath: server.socketPath });
  const pong = new Promise<Buffer>((resolve) => server.connection.socket.once("pong", resolve));
  server.connection.socket.ping("are you there");
  assert.equal((await pong).toString(), "are you there");
  assert.equal(client.hasExtensions, true);
});
