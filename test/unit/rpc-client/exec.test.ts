/** Commands, environment and tunnels of a sandbox over the RPC, against a server that does as the test says. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import type { SerializedError } from "../../../src/protocol/rpc-error.ts";
import { TERMINAL_WINDOW_BYTES } from "../../../src/protocol/rpc-limits.ts";
import type { RpcParams } from "../../../src/protocol/rpc-methods.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { connectRpc } from "../../../src/runtime/sandbox/rpc-client.ts";
import { openRpcSandbox, RpcSandbox } from "../../../src/runtime/sandbox/rpc-sandbox.ts";
import type { ExecSpec, SandboxInfo } from "../../../src/runtime/types.ts";
import { Answer, type FakeConnection, type FakeServer, type Methods, startFakeServer } from "./fake-server.ts";

const INFO: SandboxInfo = {
  id: "sbx_loc_00000000000000000000",
  name: "box",
  status: "running",
  createdAt: 1,
  startedAt: 2,
  stoppedAt: null,
  expiresAt: null,
  reason: null,
  detail: null,
  image: { id: "i", name: "default" },
  memoryBytes: 1,
  cpus: 2,
  diskBytes: 3,
  labels: {},
  region: "loc",
  supervisorPid: 5,
  vmPid: 6,
  accelerator: "tcg",
};

const OUT = 1001;
const ERR = 1002;

/** A process of the fake server, which the test moves on by hand. */
class FakeProcess {
  readonly spawned = Promise.withResolvers<RpcParams<"spawn">>();
  readonly waited = Promise.withResolvers<unknown>();
  readonly kills: RpcParams<"processKill">[] = [];
  readonly killed = Promise.withResolvers<null>();
  readonly resized: unknown[] = [];
  spawnError: SerializedError | undefined;
  hold: Promise<unknown> = Promise.resolve();
  /** Whether a kill ends it. */
  isMortal = true;

  get methods(): Methods {
    return {
      "sbx.info": () => INFO,
      envSet: () => null,
      spawn: async (params) => {
        this.spawned.resolve(params);
        await this.hold;
        if (this.spawnError !== undefined) throw new Answer(this.spawnError);
        return { pid: 42, stdoutStreamId: OUT, stderrStreamId: params.stderr === "null" ? null : ERR };
      },
      processWait: () => this.waited.promise,
      processKill: (params, connection) => {
        this.kills.push(params);
        this.killed.resolve(null);
        if (this.isMortal) this.finish(connection, 137, "SIGKILL");
        return null;
      },
      "sbx.resize": (params) => void this.resized.push(params),
    };
  }

  output(connection: FakeConnection): void {
    connection.start(OUT);
    connection.start(ERR);
  }

  finish(connection: FakeConnection, code: number, signal: string | null = null): void {
    connection.end(OUT);
    connection.end(ERR);
    this.waited.resolve({ success: code === 0, code, signal, oom: null });
  }
}

interface Stage extends AsyncDisposable {
  process: FakeProcess;
  server: FakeServer;
  sandbox: RpcSandbox;
  peer: FakeConnection;
}

async function stage(extensions = true): Promise<Stage> {
  const process = new FakeProcess();
  const server = await startFakeServer({ methods: process.methods, extensions });
  const client = await connectRpc({ socketPath: server.socketPath });
  const sandbox = new RpcSandbox({ client, info: INFO });
  return {
    process,
    server,
    sandbox,
    peer: server.connection,
    [Symbol.asyncDispose]: async () => {
      await sandbox[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Everything that was sent before, either way, has been handled. */
async function settled({ sandbox }: Stage): Promise<void> {
  await sandbox.setEnv({ SETTLED: "1" });
}

async function failure(promise: Promise<unknown>): Promise<SbxError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof SbxError, String(error));
    return error;
  }
  throw new Error("it did not fail");
}

async function failedExec(spec: ExecSpec, spawnError: SerializedError): Promise<SbxError> {
  await using all = await stage();
  all.process.spawnError = spawnError;
  return await failure(all.sandbox.exec(spec));
}

test("opening a sandbox connects and asks what it is", async () => {
  await using server = await startFakeServer({ methods: { "sbx.info": () => INFO } });
  let disposals = 0;
  const onDispose = async (): Promise<void> => {
    disposals += 1;
  };
  const sandbox = await openRpcSandbox({ socketPath: server.socketPath, onDispose });
  assert.deepEqual(sandbox.info, INFO);
  assert.equal(sandbox.id, INFO.id);
  await Promise.all([sandbox[Symbol.asyncDispose](), sandbox[Symbol.asyncDispose]()]);
  await sandbox[Symbol.asyncDispose]();
  assert.equal(await sandbox.closed, undefined);
  assert.equal(disposals, 1);
  assert.equal(server.connection.calls.length, 1);
  await using known = await openRpcSandbox({ socketPath: server.socketPath, info: { ...INFO, name: "known" } });
  assert.equal(known.info.name, "known");
  assert.equal(server.connection.calls.length, 0);
});

test("argv stays an array: empty words, spaces, quotes and repetitions arrive as they are", async () => {
  await using all = await stage();
  const argv = ["prog", "", "a b", "a b", `q"'\\`, "--", "ü\n"] as const;
  await using session = await all.sandbox.exec({ argv, cwd: "/app", env: { A: "1" }, clearEnv: true });
  assert.equal(session.stdin, null);
  assert.deepEqual(await all.process.spawned.promise, {
    command: "prog",
    args: argv.slice(1),
    env: { A: "1" },
    clearEnv: true,
    cwd: "/app",
    stdout: "piped",
    stderr: "piped",
  });
  assert.equal(session.pid, 42);
});

test("stdout and stderr stay apart, stdin arrives, and the exit comes with its code", async () => {
  await using all = await stage();
  const session = await all.sandbox.exec({ argv: ["x"], stdin: true });
  const { stdinStreamId } = await all.process.spawned.promise;
  session.stdin?.end("input");
  await all.peer.until(() => all.peer.saw("$sandbox.stream.end", stdinStreamId ?? -1));
  assert.equal(all.peer.textOf(stdinStreamId ?? -1), "input");
  all.process.output(all.peer);
  await all.peer.send(OUT, Buffer.from("out"));
  await all.peer.send(ERR, Buffer.from("err"));
  all.process.finish(all.peer, 3);
  const [out, err] = await Promise.all([session.stdout.toArray(), session.stderr.toArray()]);
  assert.deepEqual([Buffer.concat(out).toString(), Buffer.concat(err).toString()], ["out", "err"]);
  assert.deepEqual(await session.exit, { code: 3, signal: null, oom: null });
});

test("the exit settles only after the last byte of output was received, also when the server is early with it", async () => {
  await using all = await stage();
  const session = await all.sandbox.exec({ argv: ["x"] });
  all.process.output(all.peer);
  all.process.waited.resolve({ success: true, code: 0, signal: null, oom: null });
  let isSettled = false;
  void session.exit.then(() => (isSettled = true));
  await all.peer.until(() => all.peer.calls.some(({ method }) => method === "processWait"));
  await all.peer.send(OUT, Buffer.from("late"));
  await settled(all);
  assert.equal(isSettled, false);
  all.peer.end(OUT);
  all.peer.end(ERR);
  assert.equal((await session.exit).code, 0);
  assert.equal(Buffer.concat(await session.stdout.toArray()).toString(), "late");
});

test("a death by a signal or out of memory is told as it is", async () => {
  await using all = await stage();
  const session = await all.sandbox.exec({ argv: ["x"] });
  all.process.output(all.peer);
  all.peer.end(OUT);
  all.peer.end(ERR);
  all.process.waited.resolve({ success: false, code: 137, signal: "SIGKILL", oom: "high-confidence" });
  assert.deepEqual(await session.exit, { code: 137, signal: "SIGKILL", oom: "high-confidence" });
});

test("a terminal asks for a PTY of its size, names it in TERM, and has no stderr", async () => {
  await using all = await stage();
  const session = await all.sandbox.exec({ argv: ["sh"], tty: { cols: 80, rows: 24 }, user: "root" });
  const params = await all.process.spawned.promise;
  assert.deepEqual(params.sbx, { pty: { cols: 80, rows: 24, windowBytes: TERMINAL_WINDOW_BYTES }, user: "root" });
  assert.deepEqual(params.env, { TERM: "xterm-256color" });
  assert.equal(params.stderr, "null");
  assert.notEqual(session.stdin, null);
  assert.deepEqual(await session.stderr.toArray(), []);
  session.resize(100, 40);
  await all.peer.until(() => all.process.resized.length === 1);
  assert.deepEqual(all.process.resized, [{ pid: 42, cols: 100, rows: 40 }]);
  await session[Symbol.asyncDispose]();
});

test("the caller's TERM goes before the terminal's", async () => {
  await using all = await stage();
  const tty = { cols: 80, rows: 24, term: "vt100" };
  await using first = await all.sandbox.exec({ argv: ["sh"], tty, env: { TERM: "dumb" } });
  assert.ok(first.pid > 0);
  assert.equal((await all.process.spawned.promise).env?.["TERM"], "dumb");
});

test("terminals and users need the extensions, plain commands do not", async () => {
  await using all = await stage(false);
  assert.equal((await failure(all.sandbox.exec({ argv: ["sh"], user: "root" }))).code, "unsupported");
  assert.equal((await failure(all.sandbox.exec({ argv: ["sh"], tty: { cols: 1, rows: 1 } }))).code, "unsupported");
  const session = await all.sandbox.exec({ argv: ["sh"] });
  session.signal("SIGTERM");
  await all.process.killed.promise;
  assert.deepEqual(all.process.kills, [{ pid: 42, signal: "SIGTERM" }]);
});

test("a signal goes to the whole process group, and no longer once the process has ended", async () => {
  await using all = await stage();
  const session = await all.sandbox.exec({ argv: ["x"] });
  all.process.output(all.peer);
  session.signal("SIGINT");
  await session.exit;
  session.signal("SIGTERM");
  await settled(all);
  assert.deepEqual(all.process.kills, [{ pid: 42, signal: "SIGINT", sbx: { group: true } }]);
});

test("aborting kills the process group; the exit tells how it ended; no listener is left", async () => {
  await using all = await stage();
  const controller = new AbortController();
  const session = await all.sandbox.exec({ argv: ["x"] }, { signal: controller.signal });
  all.process.output(all.peer);
  controller.abort();
  assert.deepEqual(await session.exit, { code: 137, signal: "SIGKILL", oom: null });
  assert.deepEqual(all.process.kills, [{ pid: 42, signal: "SIGKILL", sbx: { group: true } }]);
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
});

test("a signal that never fires keeps no listener after the exit", async () => {
  await using all = await stage();
  const { signal } = new AbortController();
  const session = await all.sandbox.exec({ argv: ["x"] }, { signal });
  all.process.output(all.peer);
  all.process.finish(all.peer, 0);
  await session.exit;
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a command that was aborted before it had started is killed when it has, and its streams are cancelled", async () => {
  await using all = await stage();
  const gate = Promise.withResolvers<null>();
  all.process.hold = gate.promise;
  const controller = new AbortController();
  const call = failure(all.sandbox.exec({ argv: ["x"], stdin: true }, { signal: controller.signal }));
  await all.process.spawned.promise;
  controller.abort();
  assert.equal((await call).code, "aborted");
  gate.resolve(null);
  await all.process.killed.promise;
  assert.deepEqual(all.process.kills, [{ pid: 42, signal: "SIGKILL", sbx: { group: true } }]);
  await all.peer.until(
    () => all.peer.saw("$sandbox.stream.cancel", OUT) && all.peer.saw("$sandbox.stream.cancel", ERR),
  );
});

test("an exec with a signal that has already fired starts nothing", async () => {
  await using all = await stage();
  const error = await failure(all.sandbox.exec({ argv: ["x"] }, { signal: AbortSignal.abort() }));
  assert.equal(error.code, "aborted");
  assert.equal(error.exitCode, 130);
  await settled(all);
  assert.deepEqual(
    all.peer.calls.map(({ method }) => method),
    ["envSet"],
  );
});

test("a timeout's signal is told as a timeout", async () => {
  await using all = await stage();
  const reason = new DOMException("too slow", "TimeoutError");
  const error = await failure(all.sandbox.exec({ argv: ["x"] }, { signal: AbortSignal.abort(reason) }));
  assert.equal(error.code, "timeout");
});

test("disposing a session kills what still runs, waits for its end, and can be done twice", async () => {
  await using all = await stage();
  const session = await all.sandbox.exec({ argv: ["x"], stdin: true });
  all.process.output(all.peer);
  await session[Symbol.asyncDispose]();
  await session[Symbol.asyncDispose]();
  assert.deepEqual(
    all.process.kills.map(({ signal }) => signal),
    ["SIGKILL"],
  );
  assert.equal((await session.exit).code, 137);
});

test("when the connection goes, the exit fails with connection_closed and the output with the reason", async () => {
  await using all = await stage();
  const session = await all.sandbox.exec({ argv: ["x"] });
  all.process.output(all.peer);
  await settled(all);
  all.peer.socket.close(1001, "the sandbox expired");
  assert.equal((await failure(session.exit)).code, "connection_closed");
  await assert.rejects(session.stdout.toArray(), /the sandbox expired/);
  assert.match((await all.sandbox.closed)?.message ?? "", /the sandbox expired/);
});

test("an exit that nobody waits for, and output that nobody reads, fail nothing when the connection goes", async () => {
  await using all = await stage();
  await all.sandbox.exec({ argv: ["x"] });
  all.peer.socket.terminate();
  await all.sandbox.closed;
  // An unhandled rejection, or an error event without a listener, would fail this test.
  await new Promise(setImmediate);
});

test("writing to a process that has ended is an EPIPE for the writer and no crash for who does not listen", async () => {
  await using all = await stage();
  const session = await all.sandbox.exec({ argv: ["x"], stdin: true });
  all.process.output(all.peer);
  all.process.finish(all.peer, 0);
  await session.exit;
  assert.equal(session.stdin?.destroyed, true);
  const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) =>
    session.stdin?.write("x", resolve),
  );
  assert.notEqual(error ?? null, null);
});

test("a command that is not there exits 127, with a way to see what is", async () => {
  const error = await failedExec(
    { argv: ["nope", "x"] },
    { constructorName: "NotFound", message: "m", code: "ENOENT" },
  );
  assert.equal(error.code, "command_not_found");
  assert.equal(error.exitCode, 127);
  assert.equal(error.message, "command not found in the sandbox: 'nope'");
  assert.equal(error.hint, `see what is there: sbx exec ${INFO.id} -- bash -c 'type -a nope'`);
});

test("a line of shell that was given as one word is told how to be run", async () => {
  const notFound = { constructorName: "NotFound", message: "m", code: "ENOENT" };
  const error = await failedExec({ argv: ["ls | wc -l"] }, notFound);
  assert.equal(error.hint, `run a line of shell by a shell: sbx exec ${INFO.id} -- bash -c 'ls | wc -l'`);
});

test("a command that may not or cannot be executed exits 126", async () => {
  for (const code of ["EACCES", "ENOEXEC", "EISDIR"]) {
    const error = await failedExec({ argv: ["/app/x"] }, { constructorName: "Error", message: "m", code });
    assert.equal(error.code, "command_not_executable", code);
    assert.equal(error.exitCode, 126);
    assert.equal(error.hint, `look at it: sbx exec ${INFO.id} -- ls -l /app/x`);
  }
});

test("a missing working directory is told apart from a missing command", async () => {
  for (const [cwd, path] of [
    ["/app/my dir", "/app/my dir"],
    ["sub/", "/home/app/sub"],
    ["./sub", "/home/app/sub"],
  ] as const) {
    const missing = { constructorName: "NotFound", message: "No such file", code: "ENOENT", sbx: { path } };
    const error = await failedExec({ argv: ["ls"], cwd }, missing);
    assert.equal(error.code, "guest_error");
    assert.equal(error.exitCode, 125);
    assert.match(error.message, /^the working directory '.*' cannot be used: No such file/);
    assert.match(error.hint ?? "", /mkdir -p/);
  }
  const missing = { constructorName: "NotFound", message: "m", code: "ENOENT", sbx: { path: "/home/app/ls" } };
  assert.equal((await failedExec({ argv: ["ls"], cwd: "/app" }, missing)).code, "command_not_found");
});

test("an error that sbx itself made in the supervisor keeps its code and hint", async () => {
  const sbx = { code: "disk_full" as const, hint: "df -h" };
  const error = await failedExec({ argv: ["x"] }, { constructorName: "Error", message: "full", sbx });
  assert.deepEqual([error.code, error.message, error.hint], ["disk_full", "full", "df -h"]);
});

test("variables are set one by one, and a refusal is told", async () => {
  const seen: unknown[] = [];
  await using server = await startFakeServer({
    methods: {
      envSet: (params) => {
        if (params.key === "BAD") throw new Answer({ constructorName: "TypeError", message: "bad name" });
        seen.push(params);
        return null;
      },
    },
  });
  await using sandbox = new RpcSandbox({ client: await connectRpc({ socketPath: server.socketPath }), info: INFO });
  await sandbox.setEnv({ A: "1", B: "" });
  assert.deepEqual(seen, [
    { key: "A", value: "1" },
    { key: "B", value: "" },
  ]);
  assert.match((await failure(sandbox.setEnv({ BAD: "1" }))).message, /setting the environment failed.*bad name/);
});

/** A TCP connection of the fake guest. */
async function tunnel(): Promise<Stage & { opened: Promise<RpcParams<"sbx.connect">> }> {
  const all = await stage();
  const opened = Promise.withResolvers<RpcParams<"sbx.connect">>();
  Object.assign(all.process, {});
  await all.server[Symbol.asyncDispose]();
  const server = await startFakeServer({
    methods: {
      "sbx.connect": (params) => {
        opened.resolve(params);
        if (params.port === 1) {
          throw new Answer({ constructorName: "ConnectionRefused", message: "refused", code: "ECONNREFUSED" });
        }
        return { streamId: OUT };
      },
    },
  });
  const client = await connectRpc({ socketPath: server.socketPath });
  const sandbox = new RpcSandbox({ client, info: INFO });
  return {
    ...all,
    server,
    sandbox,
    peer: server.connection,
    opened: opened.promise,
    [Symbol.asyncDispose]: async () => {
      await sandbox[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

test("a tunnel ends in each direction on its own", async () => {
  await using all = await tunnel();
  const duplex = await all.sandbox.openTunnel({ port: 8080 });
  const { port, stdinStreamId } = await all.opened;
  assert.equal(port, 8080);
  duplex.end("request");
  await all.peer.until(() => all.peer.saw("$sandbox.stream.end", stdinStreamId));
  assert.equal(all.peer.textOf(stdinStreamId), "request");
  all.peer.start(OUT);
  await all.peer.send(OUT, Buffer.from("response"));
  all.peer.end(OUT);
  assert.equal(Buffer.concat(await duplex.toArray()).toString(), "response");
});

test("a peer that answers and hangs up before it has read everything is still heard", async () => {
  await using all = await tunnel();
  const duplex = await all.sandbox.openTunnel({ port: 8080 });
  const { stdinStreamId } = await all.opened;
  all.peer.start(OUT);
  await all.peer.send(OUT, Buffer.from("413 too large"));
  all.peer.notify({ method: "$sandbox.stream.cancel", streamId: stdinStreamId, reason: null });
  all.peer.end(OUT);
  await all.peer.until(() => true);
  duplex.write(Buffer.alloc(5_000_000));
  assert.equal(Buffer.concat(await duplex.toArray()).toString(), "413 too large");
});

test("destroying a tunnel ends both directions at the server", async () => {
  await using all = await tunnel();
  const duplex = await all.sandbox.openTunnel({ port: 8080 });
  const { stdinStreamId } = await all.opened;
  duplex.destroy();
  await all.peer.until(
    () => all.peer.saw("$sandbox.stream.cancel", OUT) && all.peer.saw("$sandbox.stream.error", stdinStreamId),
  );
});

test("a port that nobody listens on is told as the guest told it", async () => {
  await using all = await tunnel();
  const error = await failure(all.sandbox.openTunnel({ port: 1 }));
  assert.match(error.message, /connecting to port 1 failed in the sandbox: refused/);
});
