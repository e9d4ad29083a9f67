/**
 * The npm package `@deno/sandbox`, unmodified, against `sbx serve`: it knows nothing of sbx, so what works here is the
 * published protocol and not our reading of it. Examples are the documented ones.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { Sandbox, SeekMode } from "@deno/sandbox";
import { SdkServer } from "./support/sdk-server.ts";
import { openTestHome, type TestHome } from "./support/test-home.ts";

const text = (bytes: Uint8Array | null): string => Buffer.from(bytes ?? []).toString();

describe("the official SDK", { timeout: 240_000 }, () => {
  let home: TestHome;
  let server: SdkServer;
  let sandbox: Sandbox;

  before(async () => {
    home = await openTestHome();
    server = await SdkServer.open(home);
    process.env.DENO_SANDBOX_ENDPOINT = server.url;
    process.env.DENO_DEPLOY_TOKEN = server.token ?? "";
    sandbox = await Sandbox.create({ memory: "1280MiB" });
  });

  after(async () => {
    await sandbox.close();
    await server[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  test("runs shell templates in the home directory and reports their status", async () => {
    assert.equal(await sandbox.sh`pwd`.text(), "/home/app\n");
    assert.equal((await sandbox.sh`exit 1`.noThrow()).status.code, 1);
    await assert.rejects(async () => await sandbox.sh`exit 42`, { code: 42 });
  });

  test("gives later commands the variables that were set", async () => {
    await sandbox.env.set("API_KEY", "secret-key-123");
    assert.equal(await sandbox.sh`echo $API_KEY`.text(), "secret-key-123\n");
    assert.equal(await sandbox.env.get("API_KEY"), "secret-key-123");
  });

  test("writes, reads, lists and removes files, with Deno's errors", async () => {
    await sandbox.fs.writeTextFile("a.txt", "grüße");
    assert.equal(await sandbox.fs.readTextFile("/home/app/a.txt"), "grüße");
    assert.equal((await sandbox.fs.stat("a.txt")).size, 7);
    await sandbox.fs.mkdir("d/e", { recursive: true });
    const names: string[] = [];
    for await (const { name } of sandbox.fs.readDir(".")) names.push(name);
    assert.ok(names.includes("a.txt") && names.includes("d"));
    await sandbox.fs.remove("d", { recursive: true });
    await assert.rejects(sandbox.fs.readFile("/nowhere"), { code: "ENOENT" });
  });

  test("carries five megabytes of any bytes both ways", async () => {
    const bytes = new Uint8Array(5_000_000).map((_, index) => (index * 7) % 251);
    await sandbox.fs.writeFile("big.bin", bytes);
    assert.ok(Buffer.from(await sandbox.fs.readFile("big.bin")).equals(Buffer.from(bytes)));
  });

  test("works with open files, temporary directories, links and modes", async () => {
    const file = await sandbox.fs.open("handle.txt", { create: true, write: true, read: true });
    await file.write(new TextEncoder().encode("abc"));
    await file.seek(0, SeekMode.Start);
    const buffer = new Uint8Array(10);
    assert.equal(await file.read(buffer), 3);
    const directory = await sandbox.fs.makeTempDir({ prefix: "t-" });
    await sandbox.fs.symlink("/etc/passwd", `${directory}/link`);
    assert.equal(await sandbox.fs.readLink(`${directory}/link`), "/etc/passwd");
    await sandbox.fs.chmod("handle.txt", 0o600);
    assert.equal((await sandbox.fs.stat("handle.txt")).mode & 0o777, 0o600);
  });

  test("walks trees and expands globs", async () => {
    await sandbox.fs.writeTextFile("one.log", "1");
    const walked: string[] = [];
    for await (const { path } of sandbox.fs.walk("/home/app", {})) walked.push(path);
    assert.ok(walked.includes("/home/app/one.log"));
    const matched: string[] = [];
    for await (const { path } of sandbox.fs.expandGlob("*.log")) matched.push(path);
    assert.deepEqual(matched, ["/home/app/one.log"]);
  });

  test("feeds a child's stdin and collects its output", async () => {
    const child = await sandbox.spawn("cat", { stdin: "piped", stdout: "piped" });
    const writer = child.stdin?.getWriter();
    await writer?.write(new TextEncoder().encode("hello"));
    await writer?.close();
    assert.equal(text((await child.output()).stdout), "hello");
  });

  test("kills children, and says by which signal they ended", async () => {
    const child = await sandbox.spawn("sleep", { args: ["100"] });
    await child.kill();
    const { success, code, signal } = await child.status;
    assert.deepEqual({ success, code, signal }, { success: false, code: 143, signal: "SIGTERM" });
    await assert.rejects(sandbox.spawn("no-such-command"), { code: "ENOENT" });
  });

  test("stops an endless output when its reader cancels", async () => {
    const child = await sandbox.spawn("yes", { stdout: "piped" });
    const reader = child.stdout?.getReader();
    await reader?.read();
    await reader?.cancel(new Error("enough"));
    await child.kill();
    await child.status;
  });

  test("evaluates JavaScript and TypeScript, once and in a session", async () => {
    assert.equal(await sandbox.deno.eval("const a = 1; const b = 2; a + b;"), 3);
    const repl = await sandbox.deno.repl();
    await repl.eval("const x = 42;");
    await repl.eval("const y: number = 8;");
    assert.equal(await repl.eval("x + y"), 50);
    assert.equal(await repl.call("(a, b) => a * b", 6, 7), 42);
    await assert.rejects(repl.eval("throw new TypeError('boo')"), /boo/);
    await repl.close();
  });

  test("runs code and reaches the server in it by process.fetch", async () => {
    const hello = await sandbox.deno.run({ code: "console.log('Hello, world!')", stdout: "piped" });
    assert.equal(text((await hello.output()).stdout), "Hello, world!\n");
    const code = "Deno.serve((request) => new Response(`path ${new URL(request.url).pathname}`))";
    const server = await sandbox.deno.run({ code, stdout: "null", stderr: "null" });
    assert.equal(await server.httpReady, true);
    assert.equal(await (await server.fetch("https://example.com/resource")).text(), "path /resource");
    await server.kill();
    await server.status;
  });

  test("uploads a tree and downloads a file", async () => {
    const local = home.scratch("tree");
    await mkdir(`${local}/sub`, { recursive: true });
    await writeFile(`${local}/sub/file.txt`, "content");
    await sandbox.fs.upload(local, ".");
    assert.equal(await sandbox.fs.readTextFile("tree/sub/file.txt"), "content");
    await sandbox.fs.download("tree/sub/file.txt", home.scratch("copy.txt"));
    assert.equal(await readFile(home.scratch("copy.txt"), "utf8"), "content");
  });

  test("extends the life, connects a second time, and kills", async () => {
    const until = await sandbox.extendTimeout("20m");
    assert.ok(until.getTime() > Date.now() + 19 * 60_000);
    const second = await Sandbox.connect({ id: sandbox.id });
    assert.equal(await second.fs.readTextFile("a.txt"), "grüße");
    await second.close();
    await sandbox.kill();
    assert.equal(existsSync(`${home.paths.socketsPath}/${sandbox.id}.sock`), false);
    await assert.rejects(Sandbox.connect({ id: sandbox.id }));
  });
});
