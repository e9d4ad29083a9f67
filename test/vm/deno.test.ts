/**
 * `spawnDeno`, the REPL and `denoHttpWait` (deno-sandbox-protocol, section 3.6) with the image's own Deno: results,
 * errors, watching and ends, over a plain connection to the supervisor.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { TestClient } from "../unit/rpc-server/rpc-harness.ts";
import { openTestHome, type TestHome } from "./support/test-home.ts";

interface Started {
  pid: number;
  stdoutStreamId: number;
  stderrStreamId: number;
  watcherId: string | null;
}

const PIPED = { stdout: "piped", stderr: "piped" } as const;

async function run(client: TestClient, params: Record<string, unknown>): Promise<Started> {
  return client.call<Started>("spawnDeno", { ...PIPED, ...params });
}

async function output(client: TestClient, started: Started): Promise<{ out: string; err: string; code: number }> {
  const status = await client.call<{ code: number }>("processWait", { pid: started.pid });
  const [out, err] = await Promise.all(
    [started.stdoutStreamId, started.stderrStreamId].map(async (id) => (await client.streamBytes(id)).toString()),
  );
  return { out: out ?? "", err: err ?? "", code: status.code };
}

async function repl(client: TestClient): Promise<Started & { evaluate: (code: string) => Promise<unknown> }> {
  const started = await client.call<Started>("spawnDenoRepl", { ...PIPED, scriptArgs: ["one", "--two"] });
  return { ...started, evaluate: async (code) => client.call("denoReplEval", { pid: started.pid, code }) };
}

describe("Deno in the sandbox", { timeout: 600_000 }, () => {
  let home: TestHome;
  let id: string;
  const clients: TestClient[] = [];

  before(async () => {
    home = await openTestHome();
    id = await home.create();
    const client = await connect();
    await client.call("envSet", { key: "NO_COLOR", value: "1" });
  });

  after(async () => {
    for (const { socket } of clients) socket.terminate();
    await home[Symbol.asyncDispose]();
  });

  /** A connection as a client without the extensions has it. */
  async function connect(): Promise<TestClient> {
    const socketPath = path.join(home.paths.socketsPath, `${id}.sock`);
    const socket = new WebSocket(`ws+unix:${socketPath}:/api/v3/sandbox/${id}/connect`);
    const client = new TestClient(socket);
    clients.push(client);
    await once(socket, "open");
    return client;
  }

  test("inline code runs with its arguments and all permissions, its imports relative to the directory", async () => {
    const client = await connect();
    await client.call("writeTextFile", { path: "lib.ts", content: "export const answer: number = 42;" });
    const code =
      'import { answer } from "./lib.ts"; console.log(answer, Deno.args.join("|"), Deno.systemMemoryInfo().total > 0)';
    const started = await run(client, { code, extension: "ts", scriptArgs: ["a b", "--flag"] });
    assert.deepEqual(await output(client, started), { out: "42 a b|--flag true\n", err: "", code: 0 });
    assert.equal(started.watcherId, null);
  });

  test("code that looks like an option, no code at all, and other dialects run", async () => {
    const client = await connect();
    for (const [code, extension, out] of [
      ["-1; console.log('minus')", undefined, "minus\n"],
      ["", "js", ""],
      ["console.log(require('node:path').join('a', 'b'))", "cjs", "a/b\n"],
    ] as const) {
      assert.deepEqual(await output(client, await run(client, { code, extension })), { out, err: "", code: 0 });
    }
  });

  test("code too long for an argument runs all the same", async () => {
    const client = await connect();
    const code = `// ${"x".repeat(300_000)}\nconst n: number = 7; console.log(n, Deno.args[0]);`;
    const started = await run(client, { code, extension: "ts", scriptArgs: ["arg"] });
    assert.deepEqual(await output(client, started), { out: "7 arg\n", err: "", code: 0 });
  });

  test("an entrypoint is a path from the home, even one that begins with a dash; its exit code counts", async () => {
    const client = await connect();
    await client.call("writeTextFile", { path: "-x.ts", content: "console.log(Deno.args); Deno.exit(3)" });
    const result = await output(client, await run(client, { entrypoint: "-x.ts", scriptArgs: ["-A"] }));
    assert.deepEqual(result, { out: '[ "-A" ]\n', err: "", code: 3 });
  });

  test("a watched run tells of each restart, and only of restarts", async () => {
    const client = await connect();
    const write = async (word: string): Promise<unknown> => {
      const content = `console.log('${word}'); setInterval(() => {}, 1000);`;
      return client.call("writeTextFile", { path: "w.ts", content });
    };
    await write("one");
    const { pid, watcherId, stdoutStreamId } = await run(client, { entrypoint: "w.ts", watch: true });
    assert.equal(typeof watcherId, "string");
    const starts = (): number => client.stream(stdoutStreamId).filter((word) => word.startsWith("data:")).length;
    const restarts = (): number => client.messages.filter((m) => m.params?.["watcherId"] === watcherId).length;
    await client.until(() => starts() === 1);
    assert.equal(restarts(), 0);
    // Deno begins to watch some time after it has started the program: write until it has seen it.
    while (starts() === 1) {
      await write("two");
      await new Promise((resolve) => setTimeout(resolve, 5000)); // a restart that is interrupted prints nothing
    }
    await client.until(() => restarts() === starts() - 1);
    await client.call("processKill", { pid });
    assert.equal((await client.call<{ signal: string }>("processWait", { pid })).signal, "SIGTERM");
  });

  test("denoHttpWait is true once a server listens, and false if the process ends first", async () => {
    const client = await connect();
    const server = await run(client, {
      code: "setTimeout(() => Deno.serve({port: 0}, () => new Response('hi')), 300)",
    });
    const waiting = client.call("denoHttpWait", { pid: server.pid });
    const ended = await run(client, { code: "0" });
    assert.equal(await client.call("denoHttpWait", { pid: ended.pid }), false);
    assert.equal(await waiting, true);
    await client.call("processKill", { pid: server.pid, signal: "SIGKILL" });
    await client.call("processWait", { pid: server.pid });
    assert.equal(await client.call("denoHttpWait", { pid: server.pid }), true);
  });

  test("fetch with a pid reaches that process's server whatever the URL says", async () => {
    const client = await connect();
    const code = `Deno.serve({ port: 0 }, async (request) => {
    const url = new URL(request.url);
    return new Response(url.pathname + url.search + " " + request.method + " " + (await request.text()));
  })`;
    const { pid } = await run(client, { code });
    assert.equal(await client.call("denoHttpWait", { pid }), true);
    client.chunk(1, "body");
    client.notify("$sandbox.stream.end", { streamId: 1 });
    const response = await client.call<{ status: number; bodyStreamId: number }>("fetch", {
      pid,
      url: "https://example.com/resource?x=1",
      method: "POST",
      headers: [],
      redirect: "follow",
      bodyStreamId: 1,
    });
    assert.equal(response.status, 200);
    assert.equal((await client.streamBytes(response.bodyStreamId)).toString(), "/resource?x=1 POST body");
  });

  test("the REPL keeps declarations, takes TypeScript and top-level await, and prints to stdout only", async () => {
    const client = await connect();
    const { evaluate, stdoutStreamId } = await repl(client);
    assert.equal(await evaluate("const a = 1; const b = 2; a + b;"), 3);
    assert.equal(await evaluate("const x: number = 42;"), null);
    assert.equal(await evaluate("x * (await Promise.resolve(2)) + a"), 85);
    assert.equal(await evaluate("interface Foo { a: number }; const foo: Foo = { a: 1 }; foo.a"), 1);
    assert.equal(await evaluate("const a = 10; a"), 10);
    assert.equal(await evaluate("console.log('printed'); 'value'"), "value");
    assert.deepEqual(await evaluate("Deno.args"), ["one", "--two"]);
    assert.deepEqual(await evaluate('import { join } from "node:path"; join("a", "b")'), "a/b");
    await client.until(() => client.stream(stdoutStreamId).includes("data:printed\n"));
  });

  test("REPL results are what JSON can tell", async () => {
    const client = await connect();
    const { evaluate, pid } = await repl(client);
    for (const [code, value] of [
      ["({ a: [1, 'x', null], b: undefined })", { a: [1, "x", null] }],
      ["{ c: 1 }", { c: 1 }],
      ["undefined", null],
      ["() => 1", null],
      ["NaN", null],
      ["new Date(0)", "1970-01-01T00:00:00.000Z"],
      ["Promise.resolve({ later: true })", { later: true }],
      ['"\\u2028\\u0000"', "\u2028\u0000"],
    ] as const) {
      assert.deepEqual(await evaluate(code), value, code);
    }
    const error = await client.callError("denoReplEval", { pid, code: "10n" });
    assert.deepEqual([error.constructorName, /BigInt/.test(error.message)], ["TypeError", true]);
  });

  test("what REPL code throws arrives with class, message, stack and cause", async () => {
    const client = await connect();
    const { evaluate, pid } = await repl(client);
    const thrown = async (code: string) => client.callError("denoReplEval", { pid, code });
    const error = await thrown(
      "function boom() { throw new TypeError('bad', { cause: new RangeError('deep') }) } boom()",
    );
    assert.deepEqual([error.constructorName, error.message], ["TypeError", "bad"]);
    assert.match(error.stack ?? "", /^TypeError: bad\n\s+at boom/);
    assert.deepEqual([error.cause?.constructorName, error.cause?.message], ["RangeError", "deep"]);
    assert.equal((await thrown("class Mine extends Error {}; throw new Mine('own')")).constructorName, "Mine");
    assert.deepEqual(await thrown("throw 'text'"), { constructorName: "Error", message: "text" });
    assert.equal((await thrown("throw { a: 1 }")).message, "{ a: 1 }");
    assert.equal((await thrown("let +")).constructorName, "SyntaxError");
    assert.equal((await thrown("await Deno.readFile('/none')")).constructorName, "NotFound");
    assert.equal((await thrown("Promise.reject(new URIError('async'))")).constructorName, "URIError");
    assert.equal((await thrown("throw new DOMException('x', 'AbortError')")).code, undefined);
    assert.equal(await evaluate("1 + 1"), 2);
  });

  test("the REPL's own variables work, and user code cannot break the reading of results", async () => {
    const client = await connect();
    const { evaluate } = await repl(client);
    assert.equal(await evaluate("40"), 40);
    assert.equal(await evaluate("_ + 2"), 42);
    await evaluate("JSON.stringify = () => 'broken'; JSON.parse = null; globalThis.Promise = null; 0");
    assert.deepEqual(await evaluate("({ fine: 1 })"), { fine: 1 });
    assert.equal(await evaluate("const _ = 5; _ * 2"), 10);
    assert.equal(await evaluate("'after'"), "after");
  });

  test("an exception in the background is reported on stderr and the REPL goes on", async () => {
    const client = await connect();
    const { evaluate, stderrStreamId } = await repl(client);
    await evaluate("setTimeout(() => { throw new Error('later') }, 10); Promise.reject(new Error('unhandled')); 1");
    assert.equal(await evaluate("await new Promise((done) => setTimeout(done, 100)); 'alive'"), "alive");
    await client.until(() => client.stream(stderrStreamId).join("").includes("later"));
  });

  test("call takes a function by source or by name, with JSON arguments, and awaits it", async () => {
    const client = await connect();
    const { evaluate, pid } = await repl(client);
    const call = async (fn: string, ...args: unknown[]): Promise<unknown> =>
      client.call("denoReplCall", { pid, fn, args });
    assert.equal(await call("(a: number, b: number) => a + b", 2, 3), 5);
    await evaluate("async function greet(who) { return { hello: who } }");
    assert.deepEqual(await call("greet", "wörld\u2028"), { hello: "wörld\u2028" });
    assert.deepEqual(await call("(x) => x // comment", { __proto__x: 1, n: [null] }), { __proto__x: 1, n: [null] });
    const error = await client.callError("denoReplCall", { pid, fn: "() => { throw new RangeError('r') }", args: [] });
    assert.equal(error.constructorName, "RangeError");
  });

  test("evaluations of one REPL run one after the other", async () => {
    const client = await connect();
    const { pid } = await repl(client);
    const slow = client.request("denoReplEval", {
      pid,
      code: "var log = []; await new Promise((d) => setTimeout(d, 200)); log.push(1)",
    });
    const fast = client.request("denoReplEval", { pid, code: "log.push(2); log" });
    assert.deepEqual((await client.reply(fast)).result?.ok, [1, 2]);
    assert.ok(client.index((m) => m.id === slow) < client.index((m) => m.id === fast));
  });

  test("closing ends the REPL with code 0, and what comes later finds it gone", async () => {
    const client = await connect();
    const { pid, evaluate } = await repl(client);
    await evaluate("setInterval(() => {}, 1000); 1");
    assert.equal(await client.call("denoReplClose", { pid }), null);
    assert.equal((await client.call<{ code: number }>("processWait", { pid })).code, 0);
    assert.equal((await client.callError("denoReplEval", { pid, code: "1" })).code, "EPIPE");
    assert.equal(await client.call("denoReplClose", { pid }), null);
    assert.equal(await client.call("denoHttpWait", { pid }), false);
  });

  test("a REPL that loops for ever can be closed, and its evaluation fails", async () => {
    const client = await connect();
    const { pid } = await repl(client);
    const looping = client.request("denoReplEval", { pid, code: "for (;;) {}" });
    await client.call("denoReplClose", { pid });
    assert.equal((await client.reply(looping)).result?.error?.code, "EPIPE");
    assert.equal((await client.call<{ signal: string }>("processWait", { pid })).signal, "SIGKILL");
  });

  test("a REPL that exits by itself fails the evaluation under way", async () => {
    const client = await connect();
    const { pid } = await repl(client);
    assert.equal((await client.callError("denoReplEval", { pid, code: "Deno.exit(9)" })).code, "EPIPE");
    assert.equal((await client.call<{ code: number }>("processWait", { pid })).code, 9);
  });

  test("a process that is no REPL is a TypeError for its calls", async () => {
    const client = await connect();
    const { pid } = await run(client, { code: "await new Promise(() => setTimeout(() => {}, 1e6))" });
    const error = await client.callError("denoReplEval", { pid, code: "1" });
    assert.deepEqual([error.constructorName, error.message], ["TypeError", `process ${pid} is not a REPL`]);
  });
});
