/**
 * `sbx mcp` with the SDK's client and a real machine, as a host of the protocol starts it; and the library's example of
 * an agent, which does the same without the protocol.
 */
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { ask } from "./support/exposed.ts";
import { eventually } from "./support/leftovers.ts";
import { PROGRAM, PROJECT_PATH, runHost } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const home = await openTestHome();
const [node, program] = PROGRAM;
const transport = new StdioClientTransport({
  command: node,
  args: [program, "mcp", "--memory", "512MiB", "--cpus", "1", "--allow-net", "api.example.com"],
  env: home.env as Record<string, string>,
  stderr: "inherit",
});
const client = new Client({ name: "test", version: "1" });

interface Result extends Record<string, unknown> {
  error?: { code: string; message: string };
}

async function call(name: string, args: Record<string, unknown> = {}): Promise<Result> {
  const { structuredContent } = await client.callTool({ name, arguments: args }, { timeout: 120_000 });
  return structuredContent as Result;
}

let sandbox: unknown;

before(async () => {
  await client.connect(transport);
  const made = await call("create_sandbox", { name: "box" });
  assert.equal(made.error, undefined);
  sandbox = made.sandbox;
});

after(async () => {
  await client.close();
  await home[Symbol.asyncDispose]();
});

test("code runs in each of the languages, and errors of programs are results", async () => {
  const run = async (language: string, code: string) => {
    const { exit_code, stdout } = await call("run_code", { sandbox, language, code });
    return [exit_code, stdout];
  };
  assert.deepEqual(await run("python", "import sys\nprint(6 * 7)\nsys.exit(3)"), [3, "42\n"]);
  assert.deepEqual(await run("javascript", "console.log(await Promise.resolve(`${6 * 7}`))"), [0, "42\n"]);
  assert.deepEqual(await run("typescript", "const n: number = 42; console.log(n)"), [0, "42\n"]);
  assert.deepEqual(await run("bash", 'for i in 1 2; do echo "$i"; done'), [0, "1\n2\n"]);
});

test("files are there for commands, and commands' files for the model", async () => {
  await call("write_file", {
    sandbox,
    path: "work/run.sh",
    content: "#!/bin/sh\necho grüße > out\n",
    executable: true,
  });
  const { exit_code: status } = await call("run_command", { sandbox, argv: ["./run.sh"], cwd: "/home/app/work" });
  assert.equal(status, 0);
  assert.equal((await call("read_file", { sandbox, path: "work/out" })).content, "grüße\n");
  const { entries } = await call("list_directory", { sandbox, path: "work" });
  assert.deepEqual(entries, [
    { name: "out", kind: "file" },
    { name: "run.sh", kind: "file" },
  ]);
  assert.match((await call("read_file", { sandbox, path: "/nowhere" })).error?.message ?? "", /nowhere/);
});

test("a host that was not allowed stays out of reach, and its name is told", async () => {
  const argv = ["curl", "-sS", "-m", "5", "https://denied.example/"];
  const { exit_code: status, denied_hosts: denied } = await call("run_command", { sandbox, argv });
  assert.notEqual(status, 0);
  assert.match(String(denied), /denied\.example/);
});

test("a server in the background has a URL on this machine", async () => {
  await call("write_file", { sandbox, path: "www/index.html", content: "from the sandbox" });
  const argv = ["python3", "-m", "http.server", "8000", "--directory", "www"];
  assert.equal(typeof (await call("start_process", { sandbox, argv })).pid, "number");
  const wait = "until curl -s localhost:8000 > /dev/null; do sleep 0.1; done";
  await call("run_code", { sandbox, language: "bash", code: wait });
  const { url } = await call("expose_port", { sandbox, port: 8000 });
  assert.equal((await ask(String(url))).body, "from the sandbox");
});

test("a copy has the source's files, and counts", async () => {
  const { sandboxes } = await call("fork_sandbox", { sandbox });
  const [copy] = sandboxes as { sandbox: string }[];
  assert.equal((await call("read_file", { sandbox: copy?.sandbox, path: "work/out" })).content, "grüße\n");
  await call("kill_sandbox", { sandbox: copy?.sandbox });
  assert.equal(((await call("list_sandboxes")).sandboxes as unknown[]).length, 1);
});

test("when the server is killed, its sandbox ends", async () => {
  process.kill(transport.pid ?? 0, "SIGKILL");
  await eventually(async () => assert.ok((await home.list()).every(({ status }) => status !== "running")));
});

test("the example of an agent comes to its answer", async () => {
  const example = path.join(PROJECT_PATH, "examples", "agent-loop.ts");
  const { status, stdout } = await runHost([node, example], { env: home.env });
  assert.deepEqual([status, stdout.trim().split("\n").at(-1)], [0, "The primes below 1000 add up to 76127."]);
});
