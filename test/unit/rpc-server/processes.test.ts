/** `spawn`, `processWait`, `processKill` and the environment (deno-sandbox-protocol, sections 3.3 and 3.4). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openBench } from "./rpc-harness.ts";
import { Fail, never, type Script } from "./scripted-agent.ts";

const EXIT = { code: 0, signal: null, oom: null } as const;
const OUTPUT = { stdout: "null", stderr: "null" } as const;

test("argv, cwd and user reach the guest as they were given, relative directories joined to the home", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => never() });
  const { client } = await bench.connect();
  await client.call("spawn", { command: "printf", args: ["%s", "", "a b", "'", "a"], cwd: "sub/..", ...OUTPUT });
  const params = await bench.agent.call("exec");
  assert.deepEqual(params.argv, ["printf", "%s", "", "a b", "'", "a"]);
  assert.equal(params.cwd, "/home/app/sub/..");
  assert.equal(params.user, "app");
  assert.deepEqual([params.stdin, params.stdout, params.stderr, params.pty], [null, null, null, null]);
});

test("the environment is the sandbox's under the call's, or the call's alone with clearEnv", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => never() });
  const { client } = await bench.connect();
  await client.call("envSet", { key: "A", value: "sandbox" });
  await client.call("envSet", { key: "B", value: "sandbox" });
  await client.call("spawn", { command: "x", env: { B: "call", BASH_ENV: "$HOME/.bashrc" }, ...OUTPUT });
  await client.call("spawn", { command: "x", env: { B: "call" }, clearEnv: true, ...OUTPUT });
  assert.deepEqual(
    bench.agent.calls.filter((call) => call.method === "exec").map((call) => call.params["env"]),
    [{ PATH: "/usr/bin:/bin", HOME: "/home/app", A: "sandbox", B: "call", BASH_ENV: "$HOME/.bashrc" }, { B: "call" }],
  );
});

test("the environment is shared by the connections of a sandbox", async (t) => {
  const bench = await openBench(t);
  const { client: one } = await bench.connect();
  const { client: two } = await bench.connect();
  await one.call("envSet", { key: "K", value: "v" });
  assert.equal(await two.call("envGet", { key: "K" }), "v");
  await two.call("envDelete", { key: "K" });
  assert.equal(await one.call("envGet", { key: "K" }), null);
  assert.deepEqual(await one.call("envToObject", {}), { PATH: "/usr/bin:/bin", HOME: "/home/app" });
});

test("names and values that no environment can hold are refused", async (t) => {
  const { client } = await (await openBench(t)).connect();
  for (const [key, value] of [
    ["A=B", "x"],
    ["A\0", "x"],
    ["A", "x\0"],
  ]) {
    assert.equal((await client.callError("envSet", { key, value })).constructorName, "TypeError");
  }
  assert.equal(
    (await client.callError("envSet", { key: "A", value: "x".repeat(200_000) })).constructorName,
    "RangeError",
  );
  const error = await client.callError("spawn", { command: "x", env: { "": "x" }, ...OUTPUT });
  assert.equal(error.constructorName, "TypeError");
});

test("the environment is bounded as a whole, and what is deleted makes room", async (t) => {
  const { client } = await (await openBench(t)).connect();
  const value = "x".repeat(100_000);
  for (const key of ["A", "B", "C", "D", "E"]) await client.call("envSet", { key, value });
  assert.match((await client.callError("envSet", { key: "F", value })).message, /limited to 524288 bytes/);
  await client.call("envDelete", { key: "A" });
  await client.call("envSet", { key: "F", value });
  await client.call("envSet", { key: "F", value: "" });
});

for (const [what, exit, status] of [
  ["code 0", EXIT, { success: true, code: 0, signal: null, oom: null }],
  ["code 3", { code: 3, signal: null, oom: null }, { success: false, code: 3, signal: null, oom: null }],
  ["SIGTERM", { code: 143, signal: "SIGTERM", oom: null }, { success: false, code: 143, signal: "SIGTERM", oom: null }],
  [
    "no memory",
    { code: 137, signal: "SIGKILL", oom: "high-confidence" },
    { success: false, code: 137, signal: "SIGKILL", oom: "high-confidence" },
  ],
  [
    "an oom without 137",
    { code: 1, signal: null, oom: "low-confidence" },
    { success: false, code: 1, signal: null, oom: null },
  ],
] as const) {
  test(`the status after ${what} has all its keys, and can be asked for again`, async (t) => {
    const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => exit });
    const { client } = await bench.connect();
    await client.call("spawn", { command: "x", ...OUTPUT });
    assert.deepEqual(await client.call("processWait", { pid: 7 }), status);
    assert.deepEqual(await client.call("processWait", { pid: 7, vscode: false }), status);
    assert.equal(bench.agent.calls.filter((call) => call.method === "wait").length, 1);
  });
}

test("the answer to processWait comes after the end of the output", async (t) => {
  let exit: () => void = () => undefined;
  const bench = await openBench(t, {
    exec: () => ({ pid: 7 }),
    wait: async () => {
      await new Promise<void>((resolve) => (exit = resolve));
      return EXIT;
    },
  });
  const { client } = await bench.connect();
  const { stdoutStreamId } = await client.call<{ stdoutStreamId: number }>("spawn", {
    command: "x",
    stdout: "piped",
    stderr: "piped",
  });
  const { stdout, stderr } = await bench.agent.call("exec");
  const waiting = client.request("processWait", { pid: 7 });
  await bench.agent.call("wait");
  bench.agent.end(stderr ?? 0);
  exit();
  await client.settle();
  await bench.agent.produceAll(stdout ?? 0, "last words");
  await client.reply(waiting);
  const end = client.index((m) => m.method === "$sandbox.stream.end" && m.params?.streamId === stdoutStreamId);
  assert.ok(end < client.index((m) => m.id === waiting));
});

test("another connection's processWait does not depend on who reads the output", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => EXIT });
  const { client: one } = await bench.connect();
  const { client: two } = await bench.connect();
  await one.call("spawn", { command: "x", stdout: "piped", stderr: "null" });
  assert.deepEqual(await two.call("processWait", { pid: 7 }), { success: true, code: 0, signal: null, oom: null });
});

test("a program that is not there is NotFound with ENOENT, naming the program", async (t) => {
  const bench = await openBench(t, { exec: () => Promise.reject(new Fail("ENOENT", "nope")) });
  const { client } = await bench.connect();
  const error = await client.callError("spawn", { command: "nope", ...OUTPUT });
  assert.deepEqual(error, {
    constructorName: "NotFound",
    code: "ENOENT",
    message: "Failed to spawn 'nope': No such file or directory (os error 2)",
    sbx: { path: "nope" },
  });
});

test("what the agent calls invalid is told in its words", async (t) => {
  const reason = 'there is no user "nobody else" in the sandbox';
  const failure = Object.assign(new Fail("EINVAL"), { message: reason });
  const bench = await openBench(t, { exec: () => Promise.reject(failure) });
  const { client } = await bench.connect();
  const error = await client.callError("spawn", { command: "x", ...OUTPUT });
  assert.equal(error.code, "EINVAL");
  assert.equal(error.message, `Failed to spawn 'x': ${reason}`);
});

test("a directory that is not there is told from a program that is not", async (t) => {
  const bench = await openBench(t, { exec: () => Promise.reject(new Fail("ENOENT", "/nowhere")) });
  const { client } = await bench.connect();
  const error = await client.callError("spawn", { command: "ls", cwd: "/nowhere", ...OUTPUT });
  assert.equal(error.message, "No such cwd '/nowhere': No such file or directory (os error 2)");
  assert.equal(error.sbx?.path, "/nowhere");
});

test("the end of a process ends its stdin, also while the client goes on writing", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => EXIT });
  const { client } = await bench.connect();
  client.notify("$sandbox.stream.start", { streamId: 1 });
  await client.call("spawn", { command: "x", stdinStreamId: 1, ...OUTPUT });
  client.chunk(1, "more");
  assert.equal((await client.message((m) => m.method === "$sandbox.stream.cancel")).params?.streamId, 1);
});

test("a kill goes to the process alone, to the group only for a client with the extensions", async (t) => {
  const script: Script = { exec: () => ({ pid: 7 }), wait: () => never(), kill: () => null };
  const bench = await openBench(t, script);
  const { client } = await bench.connect();
  const { client: extended } = await bench.connect({ extensions: true });
  await client.call("spawn", { command: "x", ...OUTPUT });
  await client.call("processKill", { pid: 7 });
  await client.call("processKill", { pid: 7, signal: "SIGPOLL", sbx: { group: true } });
  await extended.call("processKill", { pid: 7, signal: "SIGINT", sbx: { group: true } });
  assert.deepEqual(
    bench.agent.calls.filter((call) => call.method === "kill").map((call) => call.params),
    [
      { pid: 7, signal: "SIGTERM", group: false },
      { pid: 7, signal: "SIGIO", group: false },
      { pid: 7, signal: "SIGINT", group: true },
    ],
  );
});

test("a kill of what is gone is a TypeError with ENOENT and never reaches the guest", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => EXIT, kill: () => assert.fail() });
  const { client } = await bench.connect();
  await client.call("spawn", { command: "x", ...OUTPUT });
  await client.call("processWait", { pid: 7 });
  for (const pid of [7, 8]) {
    const error = await client.callError("processKill", { pid, signal: "SIGKILL" });
    assert.deepEqual([error.constructorName, error.code], ["TypeError", "ENOENT"]);
  }
  assert.equal((await client.callError("processWait", { pid: 8 })).code, "ENOENT");
});

test("a signal that does not exist is a TypeError", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => never() });
  const { client } = await bench.connect();
  await client.call("spawn", { command: "x", ...OUTPUT });
  const error = await client.callError("processKill", { pid: 7, signal: "SIGNOPE" });
  assert.deepEqual([error.constructorName, error.message], ["TypeError", "Invalid signal: SIGNOPE"]);
});

test("a process outlives its client, and its output is read to the end", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => never(), kill: () => assert.fail() });
  const { client, connection } = await bench.connect();
  await client.call("spawn", { command: "x", stdout: "piped", stderr: "null" });
  const { stdout } = await bench.agent.call("exec");
  await client.message((m) => m.method === "$sandbox.stream.start");
  client.socket.terminate();
  await connection.closed;
  await bench.agent.produceAll(stdout ?? 0, Buffer.alloc(2 * 1024 * 1024));
  assert.equal(bench.agent.stopped.size, 0);
});

test("a process that starts while its client leaves is not stuck either", async (t) => {
  let start: () => void = () => undefined;
  const bench = await openBench(t, {
    exec: async () => {
      await new Promise<void>((resolve) => (start = resolve));
      return { pid: 7 };
    },
    wait: () => never(),
  });
  const { client, connection } = await bench.connect();
  client.request("spawn", { command: "x", stdout: "piped", stderr: "null" });
  const { stdout } = await bench.agent.call("exec");
  client.socket.terminate();
  await connection.closed;
  start();
  await bench.agent.produceAll(stdout ?? 0, Buffer.alloc(2 * 1024 * 1024));
});

test("a terminal hangs up with its client: SIGHUP to the group", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => never(), kill: () => null });
  const { client } = await bench.connect({ extensions: true });
  const pty = { cols: 80, rows: 24 };
  const reply = await client.call("spawn", { command: "bash", stdout: "piped", stderr: "piped", sbx: { pty } });
  assert.equal((reply as { stderrStreamId: unknown }).stderrStreamId, null);
  assert.deepEqual((await bench.agent.call("exec")).pty, pty);
  client.socket.terminate();
  assert.deepEqual(await bench.agent.call("kill"), { pid: 7, signal: "SIGHUP", group: true });
});

test("resize reaches the guest and passes over a process that has ended", async (t) => {
  let isOver = false;
  const bench = await openBench(t, {
    exec: () => ({ pid: 7 }),
    wait: async (_params, agent) => {
      await agent.until(() => isOver);
      return EXIT;
    },
    resize: () => null,
  });
  const { client } = await bench.connect({ extensions: true });
  await client.call("spawn", { command: "x", ...OUTPUT, sbx: { pty: { cols: 1, rows: 1 } } });
  await client.call("sbx.resize", { pid: 7, cols: 100, rows: 50 });
  assert.deepEqual(await bench.agent.call("resize"), { pid: 7, cols: 100, rows: 50 });
  isOver = true;
  await client.call("sbx.resize", { pid: 7, cols: 1, rows: 1 });
  await client.call("processWait", { pid: 7 });
  await client.call("sbx.resize", { pid: 7, cols: 2, rows: 2 });
  assert.equal(bench.agent.calls.filter((call) => call.method === "resize").length, 2);
});

test("another account and a terminal are for clients with the extensions", async (t) => {
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => never() });
  const { client } = await bench.connect();
  const { client: extended } = await bench.connect({ extensions: true });
  const params = { command: "x", ...OUTPUT, sbx: { user: "root", pty: { cols: 1, rows: 1 } } };
  await client.call("spawn", params);
  await extended.call("spawn", params);
  assert.deepEqual(
    bench.agent.calls.filter((call) => call.method === "exec").map(({ params: p }) => [p["user"], p["pty"]]),
    [
      ["app", null],
      ["root", { cols: 1, rows: 1 }],
    ],
  );
});

test("statuses of the last 4096 processes are kept, older ones are gone", async (t) => {
  let next = 0;
  const bench = await openBench(t, { exec: () => ({ pid: ++next }), wait: () => EXIT });
  const { client } = await bench.connect();
  for (let i = 0; i < 4100; i++) client.request("spawn", { command: "x", ...OUTPUT });
  await client.reply(4099);
  await client.call("processWait", { pid: 4100 });
  assert.equal((await client.callError("processWait", { pid: 1 })).code, "ENOENT");
  await client.call("processWait", { pid: 5 });
});

test("a pid that the guest gives out again is the newer process", async (t) => {
  const exits = [
    { code: 1, signal: null, oom: null },
    { code: 2, signal: null, oom: null },
  ];
  const bench = await openBench(t, { exec: () => ({ pid: 7 }), wait: () => exits.shift() ?? EXIT });
  const { client } = await bench.connect();
  await client.call("spawn", { command: "x", ...OUTPUT });
  assert.equal((await client.call<{ code: number }>("processWait", { pid: 7 })).code, 1);
  await client.call("spawn", { command: "x", ...OUTPUT });
  assert.equal((await client.call<{ code: number }>("processWait", { pid: 7 })).code, 2);
});
