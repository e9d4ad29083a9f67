/**
 * The npm package `@deno/sandbox`, unmodified, against `sbx serve`: it knows nothing of sbx, so what works here is the
 * published protocol and not our reading of it. The examples are those of its README, its types and the published
 * documentation (test/sdk/examples.ts has the list). Here: commands, processes, environment, requests.
 */
import assert from "node:assert/strict";
import { createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Writable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { ChildProcess, KillController, KillSignal, Sandbox } from "@deno/sandbox";
import { assertShape } from "../sdk/shape.ts";
import { SdkBench } from "./support/sdk-bench.ts";

const encoder = new TextEncoder();

describe("the official SDK: commands", { timeout: 240_000 }, () => {
  let bench: SdkBench;
  let sandbox: Sandbox;

  before(async () => {
    bench = await SdkBench.open();
    sandbox = await Sandbox.create();
  });

  after(async () => {
    await sandbox.close();
    await bench[Symbol.asyncDispose]();
  });

  test("the quick start is a whole program, and what its command prints is on its own output", async () => {
    const program = `
      import { Sandbox } from "@deno/sandbox";
      await using sandbox = await Sandbox.create();
      await sandbox.sh\`ls -lh /\`;
      await sandbox.sh\`echo to stderr >&2\`;
    `;
    const { status, stdout, stderr } = await bench.program(program);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^total /);
    assert.match(stdout, /^drwx.* home$/m);
    assert.equal(stderr, "to stderr\n");
  });

  test("shell templates run in the home directory, and their output comes as text or JSON", async () => {
    assert.equal(await sandbox.sh`pwd`.text(), "/home/app\n");
    assert.deepEqual(await sandbox.sh`echo '{"count": 42}'`.json<{ count: number }>(), { count: 42 });
    assert.equal(await sandbox.sh`id -un`.text(), "app\n");
    await sandbox.sh`exit 3`.noThrow().then(({ status }) => assert.equal(status.code, 3));
    // Variables are escaped, and lists become words.
    await sandbox.sh`echo ${"Hello, world!"} > ${"file with spaces.txt"}`;
    assert.equal(await sandbox.fs.readTextFile("file with spaces.txt"), "Hello, world!\n");
    const files = ["file1.txt", "file2.txt", "file3.txt"];
    await sandbox.sh`touch ${files}`;
    await sandbox.sh`rm ${files}`;
    assert.equal(await sandbox.sh`ls file?.txt 2>/dev/null | wc -l`.text(), "0\n");
  });

  test("a command that fails is an error with its code, or a result", async () => {
    await assert.rejects(async () => await sandbox.sh`exit 1`, { name: "SandboxCommandError", code: 1 });
    await assert.rejects(async () => await sandbox.sh`exit 42`, {
      ...{ code: 42, message: /Command failed with exit code 42/ },
    });
    const { status } = await sandbox.sh`exit 1`.noThrow();
    assert.deepEqual([status.code, status.success, status.oom], [1, false, false]);
    await assert.rejects(async () => await sandbox.sh`echo why >&2; exit 3`.stderr("piped"), /exit code 3\nwhy\n/);
  });

  test("a result has what was piped, as bytes and as text, and nothing of what was not", async () => {
    await sandbox.fs.writeFile("binary-file.png", new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0, 0xff]));
    const { stdout, stdoutText, stderr, stderrText } = await sandbox.sh`cat binary-file.png`.stdout("piped").result();
    assert.deepEqual([stdout?.length, stderr, stderrText], [6, null, null]);
    assert.equal(stdoutText?.length, 6);
    const child = await sandbox.sh`echo out; echo err >&2`.stdout("null").stderr("null").spawn();
    assert.equal((await child.output()).stdoutText, null);
  });

  test("a command has a directory and variables of its own, and root where it asks", async () => {
    assert.equal((await sandbox.sh`pwd > /tmp/cwd`.cwd("/usr/lib")).status.code, 0);
    assert.equal(await sandbox.fs.readTextFile("/tmp/cwd"), "/usr/lib\n");
    await sandbox.sh`echo $WORD > /tmp/word`.env("WORD", "of mine");
    assert.equal(await sandbox.fs.readTextFile("/tmp/word"), "of mine\n");
    await sandbox.sh`touch /root/by-root`.sudo();
    assert.equal(await sandbox.sh`sudo ls /root`.text(), "by-root\n");
  });

  test("commands are ended by a controller of signals, by an abort, and not begun after either", async () => {
    const controller = new KillController();
    const seen: string[] = [];
    const listener = (signal: string): void => void seen.push(signal);
    controller.signal.addListener(listener);
    const linked = new KillController();
    const link = controller.signal.linkChild(linked.signal);
    setTimeout(() => controller.kill(), 300);
    const signalled = sandbox.sh`sleep 30`.signal(linked.signal);
    await assert.rejects(async () => await signalled, { code: 143 });
    assert.ok(controller.signal instanceof KillSignal && controller.signal.aborted);
    assert.equal(controller.signal.abortedExitCode, 143);
    link.unsubscribe();
    controller.signal.removeListener(listener);
    controller.kill("SIGINT");
    assert.deepEqual(seen, ["SIGTERM"]);
    await assert.rejects(async () => await sandbox.sh`touch begun`.signal(linked.signal), { code: 143 });
    await assert.rejects(sandbox.fs.stat("begun"), { code: "ENOENT" });
    await assert.rejects(async () => await sandbox.sh`sleep 30`.signal(AbortSignal.timeout(200)), { code: 143 });
  });

  test("a child has arguments, a directory and an environment, and its output in two kinds", async () => {
    const child = await sandbox.spawn("bash", {
      ...{ args: ["-c", 'echo "$0 $1"; pwd; env; cat >&2', "zero", "with  spaces"], cwd: "/usr", clearEnv: true },
      ...{ env: { ONLY: "this" }, stdin: "piped", stdout: "piped", stderr: "piped" },
    });
    assert.ok(child instanceof ChildProcess && child.pid > 1 && child.stderr !== null);
    const writer = child.stdin?.getWriter();
    await writer?.write(encoder.encode("through stdin"));
    await writer?.close();
    const output = await child.output();
    assertShape(output, {
      ...{ status: "object", stdout: "object", stderr: "object", stdoutText: "string", stderrText: "string" },
    });
    assertShape(output.status, { success: "boolean", code: "number", signal: "null", oom: "boolean" });
    assert.equal(output.stderrText, "through stdin");
    const [words, cwd, ...variables] = output.stdoutText?.trimEnd().split("\n") ?? [];
    assert.deepEqual([words, cwd], ["zero with  spaces", "/usr"]);
    assert.ok(variables.includes("ONLY=this") && !variables.some((line) => line.startsWith("HOME=")));
    await assert.rejects(sandbox.spawn("no-such-command"), { code: "ENOENT" });
  });

  test("five megabytes of output stream to a local file", async () => {
    await sandbox.fs.writeTextFile("big.txt", "#".repeat(5_000_000));
    const child = await sandbox.spawn(pathToFileURL("/usr/bin/cat"), { args: ["big.txt"], stdout: "piped" });
    const local = bench.home.scratch("big-local-copy.txt");
    await child.stdout?.pipeTo(Writable.toWeb(createWriteStream(local)) as WritableStream<Uint8Array<ArrayBuffer>>);
    assert.equal((await child.status).code, 0);
    assert.equal((await stat(local)).size, 5_000_000);
  });

  test("a child ends by the signal that it is sent, by an abort's, and with the block that it belongs to", async () => {
    const one = await sandbox.spawn("sleep", { args: ["100"] });
    await one.kill();
    const { success, code, signal } = await one.status;
    assert.deepEqual({ success, code, signal }, { success: false, code: 143, signal: "SIGTERM" });
    await one.kill();
    const two = await sandbox.spawn("sleep", { args: ["10"], signal: AbortSignal.timeout(300) });
    assert.equal((await two.output()).status.signal, "SIGTERM");
    const three = await sandbox.spawn("sleep", { args: ["100"], cwd: pathToFileURL("/usr") });
    await three.kill("SIGKILL");
    assert.equal((await three.status).signal, "SIGKILL");
    const four = await sandbox.spawn("sleep", { args: ["100"] });
    await four[Symbol.asyncDispose]();
    assert.equal((await four.status).code, 143);
  });

  test("an endless output ends when its reader cancels it, and the connection goes on", async (t) => {
    t.mock.method(console, "error", () => undefined); // the SDK talks of what it meets after a cancel
    const child = await sandbox.spawn("yes", { stdout: "piped" });
    const reader = child.stdout?.getReader();
    await reader?.read();
    await reader?.cancel(new Error("enough"));
    assert.equal((await child.status).signal, "SIGPIPE");
    assert.equal(await sandbox.sh`echo on`.text(), "on\n");
  });

  test("variables are set, read, listed and deleted, and later commands have them", async () => {
    await sandbox.env.set("API_KEY", "secret-key-123");
    await sandbox.env.set("NODE_ENV", "production");
    assert.equal((await sandbox.sh`echo $API_KEY`.text()).trim(), "secret-key-123");
    assert.equal(await sandbox.env.get("API_KEY"), "secret-key-123");
    const { HOME, NODE_ENV } = await sandbox.env.toObject();
    assert.deepEqual([HOME, NODE_ENV], ["/home/app", "production"]);
    await sandbox.env.delete("API_KEY");
    assert.equal(await sandbox.env.get("API_KEY"), undefined);
    assert.equal(await sandbox.sh`echo \${API_KEY-none}`.text(), "none\n");
  });

  test("requests are made from within, with method, fields, body and redirects as they were asked for", async () => {
    await using server = await sandbox.deno.run({
      code: `Deno.serve({ port: 4100 }, async (request) => {
        const { pathname } = new URL(request.url);
        if (pathname === "/there") return new Response(null, { status: 302, headers: { location: "/here" } });
        if (pathname === "/none") return new Response(null, { status: 204 });
        const body = await request.text();
        return Response.json({ method: request.method, field: request.headers.get("x-field"), pathname, body });
      })`,
      ...{ stdout: "null", stderr: "null" },
    });
    assert.equal(await server.httpReady, true);
    const url = "http://localhost:4100";
    const posted = await sandbox.fetch(`${url}/post`, {
      ...{ method: "POST", headers: { "x-field": "value" }, body: "content" },
    });
    assert.deepEqual(await posted.json(), {
      ...{ method: "POST", field: "value", pathname: "/post", body: "content" },
    });
    assert.equal((await sandbox.fetch(new URL(`${url}/there`), { redirect: "manual" })).status, 302);
    const followed = (await (await sandbox.fetch(`${url}/there`)).json()) as { pathname: string };
    assert.equal(followed.pathname, "/here");
    assert.equal((await sandbox.fetch(`${url}/none`)).status, 204);
    const controller = new AbortController();
    const asked = sandbox.fetch("http://localhost:4100/after", { signal: controller.signal });
    await asked;
    controller.abort(); // of a request that is over: nothing
    await assert.rejects(sandbox.fetch("http://localhost:4199/"), { name: "TypeError" });
  });

  test("a sandbox shows itself, and knows that its connection is open", async () => {
    assert.match(inspect(sandbox), /^Sandbox \{ id: 'sbx_loc_[0-9a-z]{20}' \}$/);
    assert.deepEqual([sandbox.ssh, sandbox.url], [undefined, undefined]);
    const state = await Promise.race([sandbox.closed.then(() => "closed"), Promise.resolve("open")]);
    assert.equal(state, "open");
  });
});
