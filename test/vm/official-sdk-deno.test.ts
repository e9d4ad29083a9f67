/** The npm package `@deno/sandbox`, unmodified, against `sbx serve`: Deno programs and sessions in the guest. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { DenoProcess, DenoRepl, Sandbox } from "@deno/sandbox";
import { SdkBench } from "./support/sdk-bench.ts";

describe("the official SDK: Deno", { timeout: 240_000 }, () => {
  let bench: SdkBench;
  let sandbox: Sandbox;

  before(async () => {
    bench = await SdkBench.open();
    sandbox = await Sandbox.create({ allowNet: [] });
  });

  after(async () => {
    await sandbox.close();
    await bench[Symbol.asyncDispose]();
  });

  test("a snippet's last value is what eval returns", async () => {
    assert.equal(await sandbox.deno.eval("const a = 1;\nconst b = 2;\na + b;"), 3);
  });

  test("a session keeps what was declared, takes TypeScript and waits for promises, and throws what is thrown", async () => {
    const repl = await sandbox.deno.repl({ scriptArgs: ["one"], env: { WORD: "w" }, cwd: "/usr", stdout: "piped" });
    assert.ok(repl instanceof DenoRepl);
    await repl.eval("const x = 42;");
    await repl.eval("const y: number = 8;");
    assert.equal(await repl.eval("x + y"), 50);
    assert.equal(await repl.eval("await Promise.resolve(7)"), 7);
    assert.deepEqual(await repl.eval("[Deno.args, Deno.env.get('WORD'), Deno.cwd()]"), [["one"], "w", "/usr"]);
    await assert.rejects(repl.eval("throw new TypeError('boo')"), { name: "TypeError", message: /boo/ });
    await repl.eval("console.log('beside the result')");
    const chunk = await repl.stdout?.getReader().read();
    assert.equal(Buffer.from(chunk?.value ?? []).toString(), "beside the result\n");
    await repl.close();
    assert.equal((await repl.status).success, true);
  });

  test("functions of a session are called with JSON, by name and as expressions", async () => {
    await using repl = await sandbox.deno.repl();
    await repl.eval("function add(a, b) { return a + b; }");
    assert.equal(await repl.call("add", 1, 2), 3);
    assert.equal(await repl.call("(a, b) => a * b", 6, 7), 42);
    assert.deepEqual(await repl.call("async (list) => ({ list })", ["a", null]), { list: ["a", null] });
  });

  test("inline code runs as a module, of the kind that its extension says", async () => {
    const hello = await sandbox.deno.run({ code: "console.log('Hello, world!');", stdout: "piped" });
    assert.ok(hello instanceof DenoProcess);
    assert.equal((await hello.output()).stdoutText, "Hello, world!\n");
    const typed = await sandbox.deno.run({
      ...{ code: "const n: number = Deno.args.length; console.log(n, Deno.args)", extension: "ts", stdout: "piped" },
      scriptArgs: ["a b", "--flag"],
    });
    assert.equal((await typed.output()).stdoutText, '2 [ "a b", "--flag" ]\n');
    const common = await sandbox.deno.run({
      ...{ code: "console.log(typeof require)", extension: "cjs", stdout: "piped" },
    });
    assert.equal((await common.output()).stdoutText, "function\n");
  });

  test("a program in a file runs with a directory, variables, stdin and arguments of its own", async () => {
    await sandbox.fs.mkdir("program");
    await sandbox.fs.writeTextFile(
      "program/main.ts",
      `const input = await new Response(Deno.stdin.readable).text();
       console.log(JSON.stringify([Deno.cwd(), Deno.env.toObject(), input, Deno.args]));
       console.error("to stderr");`,
    );
    const child = await sandbox.deno.run({
      ...{ entrypoint: pathToFileURL("/home/app/program/main.ts"), scriptArgs: ["x"], cwd: "program" },
      ...{ env: { ONLY: "this", PATH: "/usr/local/bin:/usr/bin:/bin" }, clearEnv: true },
      ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
    });
    const writer = child.stdin?.getWriter();
    await writer?.write(new TextEncoder().encode("typed"));
    await writer?.close();
    const { stdoutText, stderrText } = await child.output();
    const [cwd, env, input, args] = JSON.parse(stdoutText ?? "") as [string, Record<string, string>, string, string[]];
    assert.deepEqual(
      [cwd, env["ONLY"], env["HOME"], input, args],
      ["/home/app/program", "this", undefined, "typed", ["x"]],
    );
    assert.equal(stderrText, "to stderr\n");
  });

  test("a server is waited for, and reached whatever the URL says; a program without one never becomes one", async () => {
    const code = `Deno.serve(async (request) => {
      const { pathname, search } = new URL(request.url);
      return new Response(\`\${request.method} \${pathname}\${search} \${await request.text()}\`);
    })`;
    await using server = await sandbox.deno.run({ code, stdout: "null", stderr: "null" });
    assert.equal(await server.httpReady, true);
    const response = await server.fetch("https://example.com/resource?q=1", { method: "PUT", body: "content" });
    assert.equal(await response.text(), "PUT /resource?q=1 content");
    assert.equal(response.headers.get("content-type"), "text/plain;charset=UTF-8");
    const over = await sandbox.deno.run({ code: "1", stdout: "null" });
    assert.equal(await over.httpReady, false);
  });

  test("a watched program starts again when it changes, and says so", async () => {
    await sandbox.fs.writeTextFile("watched.ts", "console.log('first'); setInterval(() => {}, 1000);");
    const controller = new AbortController();
    const child = await sandbox.deno.run({
      ...{ entrypoint: "watched.ts", watch: true, stdout: "piped", stderr: "null", signal: controller.signal },
    });
    const reader = child.stdout?.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await reader?.read())?.value, "first\n");
    const seen = { restarts: 0 };
    child.addEventListener("restart", () => seen.restarts++);
    // Deno's watch begins some time after the program: a change before that is none to it.
    while (seen.restarts === 0) {
      await sandbox.fs.writeTextFile("watched.ts", "console.log('second'); setInterval(() => {}, 1000);");
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    assert.equal((await reader?.read())?.value, "second\n");
    controller.abort();
    assert.equal((await child.status).signal, "SIGTERM");
  });

  test("two sandboxes of one program do not mix their streams", async () => {
    await using other = await Sandbox.create({ allowNet: [] });
    const texts = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => (at % 2 ? sandbox : other).sh`echo ${at} $HOSTNAME`.text()),
    );
    const hosts = await Promise.all([sandbox.sh`hostname`.text(), other.sh`hostname`.text()]);
    assert.notEqual(hosts[0], hosts[1]);
    assert.deepEqual(
      texts,
      Array.from({ length: 20 }, (_, at) => `${at} ${at % 2 ? hosts[0] : hosts[1]}`),
    );
  });
});
