import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import Create from "../../../../src/commands/create.ts";
import Run from "../../../../src/commands/run.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";
import type { ExecSpec, SandboxSpec } from "../../../../src/runtime/types.ts";
import { FakeRuntime } from "../../../fake-runtime.ts";
import { runCommand, type RunOptions, type RunResult } from "../run-command.ts";

const TERMINAL = { stdin: true, stdout: true, stderr: true };
const GIB = 1024 ** 3;

async function create(argv: string[], options: RunOptions = {}): Promise<RunResult> {
  return runCommand(Create, "create", argv, options);
}

function shellRuntime(status = 0): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.programs.set("bash", () => status);
  return runtime;
}

function specOf(result: RunResult): SandboxSpec {
  return result.runtime.calls.find(({ method }) => method === "create")?.args[0] as SandboxSpec;
}

function execOf(result: RunResult): ExecSpec | undefined {
  return result.runtime.calls.find(({ method }) => method === "exec")?.args[0] as ExecSpec | undefined;
}

test("on a terminal without a command a login shell is opened, and the sandbox goes with it", async () => {
  const result = await create([], { tty: TERMINAL, runtime: shellRuntime(3) });
  assert.deepEqual(execOf(result)?.argv, ["bash", "-l"]);
  assert.deepEqual(execOf(result)?.tty, { cols: 80, rows: 24, term: "xterm-256color" });
  assert.deepEqual(specOf(result).lifetime, { kind: "session" });
  assert.equal(result.status, 3);
  assert.equal(result.stdout, "");
  assert.equal(result.runtime.sandboxes[0]?.status, "stopped");
});

test("without a terminal the id is printed and the sandbox lives on for the configured time", async () => {
  const result = await create([]);
  assert.match(result.stdout, /^sbx_loc_\d{20}\n$/);
  assert.equal(result.stderr, "");
  assert.deepEqual(specOf(result).lifetime, { kind: "duration", ms: 30 * 60_000 });
  assert.equal(result.runtime.sandboxes[0]?.status, "running");
  const configured = await create([], { env: { SBX_TIMEOUT: "2h" } });
  assert.deepEqual(specOf(configured).lifetime, { kind: "duration", ms: 2 * 3_600_000 });
});

test("--timeout and --detach leave the sandbox running on a terminal, too", async () => {
  const timed = await create(["--timeout", "10m"], { tty: TERMINAL });
  assert.deepEqual(specOf(timed).lifetime, { kind: "duration", ms: 600_000 });
  assert.match(timed.stdout, /^sbx_loc_\d{20}\n$/);
  const detached = await create(["--detach"], { tty: TERMINAL });
  assert.deepEqual(specOf(detached).lifetime, { kind: "duration", ms: 30 * 60_000 });
  assert.equal(execOf(detached), undefined);
});

test("--json describes the new sandbox, with times as ISO 8601", async () => {
  const result = await create(["--json", "--name", "web"], { tty: TERMINAL });
  const described = JSON.parse(result.stdout) as Record<string, unknown>;
  assert.equal(described.name, "web");
  assert.equal(described.status, "running");
  assert.equal(described.expiresAt, new Date(result.runtime.now + 30 * 60_000).toISOString());
});

test("with a command the sandbox goes when it ends, and its status is passed on", async () => {
  const runtime = new FakeRuntime();
  runtime.programs.set("leave", () => 42);
  const result = await create(["--", "leave"], { tty: TERMINAL, runtime });
  assert.equal(result.status, 42);
  assert.equal(result.runtime.sandboxes[0]?.reason, "session_ended");
  assert.equal(result.stdout, "");
});

test("words without -- are a command as well, as in the reference command line", async () => {
  const runtime = new FakeRuntime();
  runtime.programs.set("ls", ({ stdout }) => {
    stdout.write("listing");
    return 0;
  });
  const result = await create(["ls", "/"], { runtime });
  assert.deepEqual(execOf(result)?.argv, ["ls", "/"]);
  assert.equal(result.stdout, "listing");
});

test("a command in a sandbox that stays: stdout is the command's, the id goes to stderr", async () => {
  const result = await create(["--timeout", "1h", "--", "echo", "hi"]);
  assert.equal(result.stdout, "hi\n");
  assert.match(result.stderr, /^sbx: sbx_loc_\d{20} lives on for 1h\n$/);
  assert.equal(result.runtime.sandboxes[0]?.status, "running");
  const quiet = await create(["--quiet", "--timeout", "1h", "--", "true"]);
  assert.equal(quiet.stderr, "");
});

test("every option reaches the sandbox", async () => {
  const argv = "--name web --image data --memory 2G --cpus 4 --disk 20GB -l a=1 --label b=2 -e X=1 --detach".split(" ");
  const { name, image, memoryBytes, cpus, diskBytes, labels, env } = specOf(await create(argv));
  assert.deepEqual(
    { name, image, memoryBytes, cpus, diskBytes, labels, env },
    {
      name: "web",
      image: "data",
      memoryBytes: 2 * GIB,
      cpus: 4,
      diskBytes: 20e9,
      labels: { a: "1", b: "2" },
      env: { X: "1" },
    },
  );
});

test("what no option says is left to the runtime's settings", async () => {
  assert.deepEqual(specOf(await create([])), { lifetime: { kind: "duration", ms: 30 * 60_000 } });
});

test("--copy puts files into /app before the command runs", async () => {
  const result = await create(["--copy", "./shop/", "--copy", "/etc/hosts", "--", "true"]);
  assert.deepEqual(specOf(result).copies, [
    { hostPath: "/work/shop", guestPath: "/app", placement: "into" },
    { hostPath: "/etc/hosts", guestPath: "/app", placement: "into" },
  ]);
});

test("files that cannot be copied are named, whatever they are called", async () => {
  const runtime = new FakeRuntime();
  runtime.notices = ["not copied: a\u001b[31m: a socket"];
  const result = await create(["--copy", ".", "--", "true"], { runtime });
  assert.equal(result.stderr, "sbx: not copied: a\\e[31m: a socket\n");
});

test("a sandbox that could not be made ends with 125 and no id", async () => {
  const runtime = new FakeRuntime();
  runtime.failures.set("create", new SbxError("file_error", "no such file"));
  const result = await create(["--detach", "--copy", "nothing"], { runtime });
  assert.equal(result.status, 125);
  assert.equal(result.stdout, "");
});

test("Ctrl-C while the sandbox is made ends with 130 and nothing said", async () => {
  const signals = new EventEmitter();
  const runtime = new FakeRuntime();
  runtime.createGate = new Promise(() => setImmediate(() => signals.emit("SIGINT")));
  const result = await create(["--", "true"], { runtime, signals });
  assert.equal(result.status, 130);
  assert.equal(result.stderr, "");
  assert.equal(runtime.disposed, 1);
  assert.equal(execOf(result), undefined);
});

test("a second Ctrl-C while it is made ends the process at once", async () => {
  const signals = new EventEmitter();
  const runtime = new FakeRuntime();
  const slow = Promise.withResolvers<undefined>();
  runtime.createGate = new Promise(() => undefined);
  runtime.create = async () => {
    signals.emit("SIGINT");
    runtime.now += 100;
    signals.emit("SIGINT");
    slow.resolve(undefined);
    throw new SbxError("aborted", "stopped");
  };
  const result = await create([], { runtime, signals });
  assert.deepEqual(result.exitedNow, [130]);
});

test("what the machine cannot give has status 125, the reason and the hint", async () => {
  const runtime = new FakeRuntime();
  runtime.failures.set(
    "create",
    new SbxError("insufficient_resources", "64GiB of memory is more than this machine has", {
      hint: "sbx create --memory 4GiB",
    }),
  );
  const result = await create(["--memory", "64GiB"], { runtime });
  assert.equal(result.status, 125);
  assert.equal(result.stderr, "sbx: 64GiB of memory is more than this machine has\n  try: sbx create --memory 4GiB\n");
});

test("values that do not parse stop it with status 2 before anything is made", async () => {
  const cases: [string[], RegExp][] = [
    [["--memory", "12"], /--memory: "12" is not a size\n {2}try: give a unit, such as 12MiB/],
    [["--memory", "1kB"], /out of range/],
    [["--cpus", "none"], /--cpus: "none" is not a whole number/],
    [["--timeout", "1x"], /--timeout: "1x" is not a duration/],
    [["--name", "sbx_x"], /--name: "sbx_x" cannot be the name of a sandbox\n {2}try: use up to 63 lower-case/],
    [["--label", "nothing"], /--label: "nothing" is not a label/],
    [["--env", "=1"], /does not begin with the name of a variable/],
    [["--env", "NOT_SET_HERE"], /NOT_SET_HERE is not set here/],
    [["--env-file", "/nonexistent"], /--env-file \/nonexistent cannot be read/],
    [["--memroy", "1G"], /no option --memroy\n {2}try: did you mean: --memory/],
    [["--detach", "--cwd", "/x"], /--cwd and --user are for a command/],
    [["--json", "--", "true"], /--json describes the new sandbox/],
  ];
  for (const [argv, message] of cases) {
    const result = await create(argv);
    assert.equal(result.status, 2, argv.join(" "));
    assert.match(result.stderr, message);
    assert.deepEqual(result.runtime.calls, []);
  }
});

test("run makes a sandbox for one command and removes it", async () => {
  const result = await runCommand(Run, "run", ["--memory", "1GiB", "--", "echo", "a  b"]);
  assert.equal(result.stdout, "a  b\n");
  assert.equal(specOf(result).memoryBytes, GIB);
  assert.equal(result.runtime.sandboxes[0]?.reason, "session_ended");
});

test("run without a command is a usage error", async () => {
  const result = await runCommand(Run, "run", ["--memory", "1GiB"]);
  assert.equal(result.status, 2);
  assert.match(result.stderr, /^sbx: no command to run was given\n/);
});

test("run names the corrected line where an option could be meant for either side", async () => {
  const result = await runCommand(Run, "run", ["-m", "1G", "python3", "-c", "print(1)"]);
  assert.equal(result.status, 2);
  assert.match(result.stderr, /try: sbx run -m 1G -- python3 -c 'print\(1\)'\n$/);
});

test("a limit ends the command with status 124: SIGTERM, then SIGKILL", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const runtime = new FakeRuntime();
  const seen: string[] = [];
  runtime.programs.set("deaf", async (process) => {
    process.onSignal((name) => {
      seen.push(name);
      if (name === "SIGTERM") setImmediate(() => context.mock.timers.tick(5000));
    });
    setImmediate(() => context.mock.timers.tick(60_000));
    return new Promise(() => undefined);
  });
  const result = await runCommand(Run, "run", ["--timeout", "1m", "--", "deaf"], { runtime });
  assert.deepEqual(seen, ["SIGTERM", "SIGKILL"]);
  assert.equal(result.status, 124);
  assert.equal(result.stderr, "sbx: the command was stopped after 1m\n");
});
