/**
 * `sbx mcp` as a host of the protocol sees it: a process that speaks it on its standard streams. The policy is what it
 * was started with, whatever a model asks for.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { type Answer, openMcp } from "./mcp-client.ts";

const TOOLS = [
  "create_sandbox",
  "expose_port",
  "fork_sandbox",
  "kill_sandbox",
  "list_directory",
  "list_sandboxes",
  "read_file",
  "run_code",
  "run_command",
  "snapshot_sandbox",
  "start_process",
  "write_file",
];

function errorOf({ isError, result }: Answer): { code: string; message: string; hint?: string } {
  assert.equal(isError, true);
  return result.error as { code: string; message: string; hint?: string };
}

for (const mode of ["legacy", "auto"] as const) {
  test(`a client of the protocol's ${mode === "auto" ? "present" : "former"} revision finds the tools`, async () => {
    await using mcp = await openMcp([], mode);
    const { tools } = await mcp.client.listTools();
    assert.deepEqual(tools.map(({ name }) => name).sort(), TOOLS);
    assert.match(await mcp.create(), /^sbx_loc_/);
  });
}

test("no tool has a parameter that says what a sandbox is or may reach, and one that is made up is refused", async () => {
  await using mcp = await openMcp(["--allow-net", "api.example.com"]);
  const { tools } = await mcp.client.listTools();
  const create = tools.find(({ name }) => name === "create_sandbox");
  assert.deepEqual(Object.keys(create?.inputSchema.properties ?? {}).sort(), ["name", "snapshot"]);
  for (const { name, inputSchema } of tools) assert.equal(inputSchema.additionalProperties, false, name);
  const answer = await mcp.call("create_sandbox", { allow_net: ["evil.example"] });
  assert.equal(answer.isError, true);
  assert.match(answer.text, /allow_net/);
  const { calls } = await mcp.end();
  assert.equal(calls.filter(({ method }) => method === "create").length, 0);
});

test("every sandbox is what the options say, and lives with the server", async () => {
  await using mcp = await openMcp(["--allow-net", "api.example.com", "--memory", "512MiB", "--label", "team=a"]);
  await mcp.create({ name: "first" });
  const { calls } = await mcp.end();
  const spec = calls.find(({ method }) => method === "create")?.args[0] as Record<string, unknown>;
  assert.deepEqual(spec.lifetime, { kind: "session" });
  assert.equal(spec.memoryBytes, 512 * 1024 ** 2);
  assert.deepEqual(spec.labels, { team: "a", "made-by": "mcp" });
  // A model's names are the server's own: they tell nothing of what else there is.
  assert.equal(spec.name, undefined);
  const { policy } = spec.network as { policy: { mode: string; rules: { text: string }[] } };
  assert.equal(policy.mode, "none");
  assert.equal(policy.rules.length, 1);
});

test("sandboxes of others are invisible", async () => {
  await using mcp = await openMcp();
  const own = await mcp.create();
  const { result } = await mcp.call("list_sandboxes");
  assert.deepEqual(
    (result.sandboxes as { sandbox: string }[]).map(({ sandbox }) => sandbox),
    [own],
  );
  const attempts = {
    kill_sandbox: {},
    run_command: { argv: ["true"] },
    fork_sandbox: {},
    snapshot_sandbox: { name: "x" },
    expose_port: { port: 80 },
    read_file: { path: "/etc/passwd" },
  };
  for (const [name, args] of Object.entries(attempts)) {
    for (const sandbox of ["theirs", "sbx_loc_somebodyelses0000000", "sbx_loc_some", own.slice(0, 12)]) {
      const { code, hint } = errorOf(await mcp.call(name, { ...args, sandbox }));
      assert.equal(code, "sandbox_not_found", name);
      assert.match(hint ?? "", /list_sandboxes/);
    }
  }
  const { sandboxes } = await mcp.end();
  assert.equal(sandboxes.find(({ name }) => name === "theirs")?.status, "running");
});

test("when the host hangs up, everything that was made is gone, and nothing else is", async () => {
  await using mcp = await openMcp();
  const first = await mcp.create();
  await mcp.call("fork_sandbox", { sandbox: first, count: 2 });
  await mcp.call("snapshot_sandbox", { sandbox: first, name: "state" });
  const { status, sandboxes, snapshots, disposed, stderr } = await mcp.end();
  assert.deepEqual([status, stderr, disposed], [0, "", 1]);
  const running = sandboxes.filter((info) => info.status === "running").map(({ name }) => name);
  assert.deepEqual(running, ["theirs"]);
  assert.deepEqual(snapshots, []);
});

test("a sandbox that is being made when the host hangs up does not stay", async () => {
  await using mcp = await openMcp();
  const making = mcp.call("create_sandbox").catch(() => undefined);
  await mcp.call("list_sandboxes");
  const { sandboxes } = await mcp.end();
  await making;
  assert.deepEqual(
    sandboxes.filter(({ status }) => status === "running").map(({ name }) => name),
    ["theirs"],
  );
});

test("with --keep, sandboxes live on for their time and snapshots stay", async () => {
  await using mcp = await openMcp(["--keep", "--timeout", "10m"]);
  const first = await mcp.create();
  await mcp.call("snapshot_sandbox", { sandbox: first, name: "state" });
  const { calls, sandboxes, snapshots } = await mcp.end();
  assert.equal(sandboxes.find(({ id }) => id === first)?.status, "running");
  assert.equal(snapshots.length, 1);
  const spec = calls.find(({ method }) => method === "create")?.args[0] as Record<string, unknown>;
  assert.deepEqual(spec.lifetime, { kind: "duration", ms: 600_000 });
});

test("no more sandboxes than allowed, copies and those under way included", async () => {
  await using mcp = await openMcp(["--max-sandboxes", "2"]);
  const answers = await Promise.all([1, 2, 3].map(async () => mcp.call("create_sandbox")));
  assert.equal(answers.filter(({ isError }) => isError).length, 1);
  const refused = answers.find(({ isError }) => isError);
  assert.equal(errorOf(refused as Answer).code, "too_many_sandboxes");
  const [first] = answers.filter(({ isError }) => !isError);
  const id = first?.result.sandbox;
  assert.equal(errorOf(await mcp.call("fork_sandbox", { sandbox: id })).code, "too_many_sandboxes");
  await mcp.call("kill_sandbox", { sandbox: id });
  assert.equal((await mcp.call("create_sandbox")).isError, false);
});

test("a sandbox's time is over without anybody's asking", async () => {
  await using mcp = await openMcp(["--timeout", "1s"]);
  const id = await mcp.create();
  while (((await mcp.call("list_sandboxes")).result.sandboxes as unknown[]).length > 0) await sleep(50);
  const { sandboxes } = await mcp.end();
  assert.equal(sandboxes.find((info) => info.id === id)?.status, "stopped");
});

test("code and commands tell their status and both outputs, and an argument stays one word", async () => {
  await using mcp = await openMcp();
  const sandbox = await mcp.create({ name: "box" });
  const code = await mcp.call("run_code", { sandbox: "box", language: "python", code: "print('a b')" });
  const { duration_ms: _duration, ...rest } = code.result;
  assert.deepEqual(rest, {
    ...{ exit_code: 3, signal: null, timed_out: false, out_of_memory: false },
    ...{ stdout: "ran print('a b')\n", stderr: "warned\n", stdout_omitted_bytes: 0, stderr_omitted_bytes: 0 },
  });
  assert.deepEqual(JSON.parse(code.text), code.result);
  const echo = await mcp.call("run_command", { sandbox, argv: ["echo", "a  b", "", "$HOME"], cwd: "/tmp" });
  assert.equal(echo.result.stdout, "a  b  $HOME\n");
  const cat = await mcp.call("run_command", { sandbox, argv: ["cat"], stdin: "from here\n" });
  assert.equal(cat.result.stdout, "from here\n");
  const { code: missing } = errorOf(await mcp.call("run_command", { sandbox, argv: ["nonsense"] }));
  assert.equal(missing, "command_not_found");
});

test("of a flood the beginning and the end are told, in whole characters", async () => {
  await using mcp = await openMcp();
  const sandbox = await mcp.create();
  const { result, text } = await mcp.call("run_command", { sandbox, argv: ["flood"] });
  const stdout = String(result.stdout);
  assert.ok(stdout.startsWith("first\n€") && stdout.endsWith("€\nlast"));
  assert.doesNotMatch(stdout, /\ufffd/);
  const total = 6 + 300 * 1024 * 3 + 5;
  const gap = /\n\[… (\d+) bytes left out …\]\n/.exec(stdout);
  assert.equal(Number(gap?.[1]), result.stdout_omitted_bytes);
  assert.equal(Buffer.byteLength(stdout.replace(gap?.[0] ?? "", "")) + Number(gap?.[1]), total);
  assert.ok(text.length < 64 * 1024);
});

test("a command ends at the user's limit, however long the model would wait", async () => {
  await using mcp = await openMcp(["--command-timeout", "1s"]);
  const sandbox = await mcp.create();
  const args = { sandbox, argv: ["sleep"], timeout_seconds: 3600 };
  const { result } = await mcp.call("run_command", args);
  assert.deepEqual([result.timed_out, result.limit_seconds, result.exit_code], [true, 1, 137]);
});

test("a cancelled call kills its command, and the sandbox goes on", async () => {
  await using mcp = await openMcp();
  const sandbox = await mcp.create();
  const abort = new AbortController();
  const call = mcp.call("run_command", { sandbox, argv: ["sleep"] }, { signal: abort.signal });
  // Answers come in the order of the calls' ends: with this one the other has long begun.
  await mcp.call("run_command", { sandbox, argv: ["true"] });
  abort.abort();
  await assert.rejects(call);
  const kills = async () => Number((await mcp.call("run_command", { sandbox, argv: ["kills"] })).result.stdout);
  for (let attempt = 0; attempt < 100 && (await kills()) === 0; attempt++) await sleep(20);
  assert.equal(await kills(), 1);
});

test("whoever asks is told how it goes", async () => {
  await using mcp = await openMcp();
  const messages: (string | undefined)[] = [];
  await mcp.call("create_sandbox", {}, { onprogress: ({ message }) => messages.push(message) });
  assert.deepEqual(messages, ["making the template"]);
});

test("hosts that a command was refused are named, with whom to ask", async () => {
  await using mcp = await openMcp();
  const sandbox = await mcp.create();
  const { result } = await mcp.call("run_command", { sandbox, argv: ["blocked"] });
  assert.deepEqual(result.denied_hosts, ["db.example:5432"]);
  assert.match(String(result.denied_hint), /ask the user/);
  const again = await mcp.call("run_command", { sandbox, argv: ["true"] });
  assert.equal(again.result.denied_hosts, undefined);
});

test("files are written, read in parts and listed; bytes that are no text come as base64", async () => {
  await using mcp = await openMcp();
  const sandbox = await mcp.create();
  await mcp.call("write_file", { sandbox, path: "/app/a/text", content: "grüße" });
  await mcp.call("write_file", { sandbox, path: "/app/a/text", content: "!", append: true });
  const whole = await mcp.call("read_file", { sandbox, path: "/app/a/text" });
  assert.deepEqual(whole.result, { path: "/app/a/text", content: "grüße!", bytes: 8 });
  // The third byte is the first half of a character.
  const part = await mcp.call("read_file", { sandbox, path: "/app/a/text", max_bytes: 3 });
  assert.deepEqual(part.result, { path: "/app/a/text", content: "gr", bytes: 2, next_offset: 2 });
  await mcp.call("write_file", { sandbox, path: "/app/bytes", content: "/wA=", encoding: "base64" });
  assert.equal(errorOf(await mcp.call("read_file", { sandbox, path: "/app/bytes" })).code, "not_text");
  const bytes = await mcp.call("read_file", { sandbox, path: "/app/bytes", encoding: "base64" });
  assert.equal(bytes.result.content, "/wA=");
  const { result } = await mcp.call("list_directory", { sandbox, path: "/app" });
  assert.deepEqual(result.entries, [
    { name: "a", kind: "directory" },
    { name: "bytes", kind: "file" },
  ]);
  assert.equal(errorOf(await mcp.call("read_file", { sandbox, path: "/none" })).code, "guest_error");
});

test("a sandbox starts from a snapshot of this server, and from no other", async () => {
  await using mcp = await openMcp(["--image", "default"]);
  const sandbox = await mcp.create();
  const { result } = await mcp.call("snapshot_sandbox", { sandbox, name: "state" });
  await mcp.create({ snapshot: "state" });
  assert.equal(errorOf(await mcp.call("create_sandbox", { snapshot: String(result.slug) })).code, "snapshot_not_found");
  const { calls } = await mcp.end();
  const [, second] = calls.filter(({ method }) => method === "create");
  const spec = second?.args[0] as Record<string, unknown>;
  assert.deepEqual([spec.root, spec.image], [result.slug, undefined]);
});

test("a server gets a URL", async () => {
  await using mcp = await openMcp();
  const sandbox = await mcp.create();
  const started = await mcp.call("start_process", { sandbox, argv: ["python3", "-m", "http.server"] });
  assert.equal(started.result.pid, 4321);
  const { result } = await mcp.call("expose_port", { sandbox, port: 8000 });
  assert.match(String(result.url), /^http:\/\//);
});

test("a policy that does not parse ends it before a word of the protocol", async () => {
  await assert.rejects(openMcp(["--allow-net", "ht tp://x"]));
});
