import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { test } from "node:test";
import Exec from "../../../../src/commands/exec.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";
import type { ExecSpec } from "../../../../src/runtime/types.ts";
import { FakeRuntime, sandboxInfo, type FakeProgram } from "../../../fake-runtime.ts";
import { runCommand, type RunOptions, type RunResult } from "../run-command.ts";

function withPrograms(programs: Record<string, FakeProgram> = {}): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [sandboxInfo({ name: "box" })];
  for (const [name, program] of Object.entries(programs)) runtime.programs.set(name, program);
  return runtime;
}

async function exec(argv: string[], options: RunOptions = {}): Promise<RunResult> {
  return runCommand(Exec, "exec", argv, { ...options, runtime: options.runtime ?? withPrograms() });
}

function specOf(result: RunResult): ExecSpec {
  return result.runtime.calls.find(({ method }) => method === "exec")?.args[0] as ExecSpec;
}

test("the words after -- reach the guest as they are: empty, repeated, with spaces, with dashes", async () => {
  const words = ["echo", "", "a b", "a b", "--", "-t", "--json", "$HOME", "ä"];
  const result = await exec(["box", "--", ...words]);
  assert.deepEqual(specOf(result).argv, words);
  assert.equal(result.status, 0);
});

test("a single word with shell syntax is a line for bash, with and without --", async () => {
  const runtime = withPrograms({ bash: () => 0 });
  assert.deepEqual(specOf(await exec(["box", "ls | wc -l"], { runtime })).argv, ["bash", "-c", "ls | wc -l"]);
  const other = withPrograms({ bash: () => 0 });
  assert.deepEqual(specOf(await exec(["box", "--", "echo $X"], { runtime: other })).argv, ["bash", "-c", "echo $X"]);
});

test("a single plain word is run directly", async () => {
  assert.deepEqual(specOf(await exec(["box", "true"])).argv, ["true"]);
});

test("options after the command without -- are refused with the corrected line", async () => {
  const result = await exec(["box", "ls", "-la"]);
  assert.equal(result.status, 2);
  assert.equal(
    result.stderr,
    'sbx: "-la" after the command "ls" could be meant for sbx or for the command\n  try: sbx exec box -- ls -la\n',
  );
  assert.deepEqual(result.runtime.calls, []);
});

test("the guest's exit status is the exit status of sbx", async () => {
  for (const status of [0, 1, 9, 42, 137, 255]) {
    const runtime = withPrograms({ leave: () => status });
    assert.equal((await exec(["box", "--", "leave"], { runtime })).status, status);
  }
});

test("stdout and stderr stay apart, byte for byte", async () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
  const chunks: Buffer[] = [];
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  const runtime = withPrograms({
    speak: (process) => {
      process.stdout.write(bytes);
      process.stderr.write("error text");
      return 0;
    },
  });
  const result = await exec(["box", "--", "speak"], { runtime, stdout });
  assert.deepEqual(Buffer.concat(chunks), bytes);
  assert.equal(result.stderr, "error text");
});

test("stdin that is no terminal is passed on to its end", async () => {
  const result = await exec(["box", "--", "cat"], { stdin: "from outside" });
  assert.equal(result.stdout, "from outside");
});

test("a terminal is not passed on as stdin, unless asked for", async () => {
  const tty = { stdin: true };
  assert.equal(specOf(await exec(["box", "--", "true"], { tty })).stdin, false);
  assert.equal(specOf(await exec(["-i", "box", "--", "true"], { tty })).stdin, true);
  assert.equal(specOf(await exec(["--no-stdin", "box", "--", "true"])).stdin, false);
});

test("-t gives a terminal of the size and kind of the user's, raw, and puts it right afterwards", async () => {
  const result = await exec(["-t", "box", "--", "true"], {
    tty: { stdin: true, stdout: true, columns: 132 },
    env: { TERM: "screen" },
  });
  assert.deepEqual(specOf(result).tty, { cols: 132, rows: 24, term: "screen" });
  assert.deepEqual(result.rawModes, [true, false]);
});

test("-t passes on what the user's terminal and the user think of colours, unless --env says otherwise", async () => {
  const env = { TERM: "screen", COLORTERM: "truecolor", NO_COLOR: "1", PATH: "/bin" };
  const tty = { stdin: true, stdout: true };
  assert.deepEqual(specOf(await exec(["-t", "box", "--", "true"], { tty, env })).env, {
    COLORTERM: "truecolor",
    NO_COLOR: "1",
  });
  const other = await exec(["-t", "-e", "NO_COLOR=", "box", "--", "true"], { tty, env });
  assert.deepEqual(specOf(other).env, { COLORTERM: "truecolor", NO_COLOR: "" });
  assert.deepEqual(specOf(await exec(["box", "--", "true"], { tty, env })).env, {});
});

test("an interactive program without a terminal is remarked upon, where somebody sits at one", async () => {
  const runtime = withPrograms({ bash: () => 0, python3: () => 0 });
  const tty = { stdin: true, stdout: true };
  const { stderr } = await exec(["box", "bash"], { runtime, tty });
  assert.equal(stderr, "sbx: bash has neither a terminal nor input; -t gives it both\n");
  for (const argv of [
    ["-q", "box", "bash"],
    ["-i", "box", "bash"],
    ["-t", "box", "bash"],
    ["box", "--", "bash", "-c", "x"],
  ]) {
    assert.doesNotMatch((await exec(argv, { runtime, tty })).stderr, /neither/);
  }
  assert.equal((await exec(["box", "bash"], { runtime })).stderr, "");
});

test("only one printable character, or none, can be the escape key", async () => {
  for (const key of ["~~", "", "ä", " ", "\u0001"]) {
    assert.equal((await exec(["-t", "--escape-key", key, "box", "--", "true"])).status, 2, JSON.stringify(key));
  }
  assert.equal((await exec(["--escape-key", "none", "box", "--", "true"])).status, 0);
});

test("-it before the name means what it means elsewhere", async () => {
  const spec = specOf(await exec(["-it", "box", "true"], { tty: { stdin: true, stdout: true } }));
  assert.notEqual(spec.tty, undefined);
  assert.equal(spec.stdin, true);
});

test("variables, directory and account reach the command; --env wins over --env-file", async () => {
  const result = await exec(
    ["-e", "A=1", "--env=B=x=y", "-e", "HERE", "-w", "/app", "-u", "root", "--clear-env", "box", "--", "true"],
    {
      env: { HERE: "passed on" },
    },
  );
  const { env, cwd, user, clearEnv } = specOf(result);
  assert.deepEqual(
    { env, cwd, user, clearEnv },
    {
      env: { A: "1", B: "x=y", HERE: "passed on" },
      cwd: "/app",
      user: "root",
      clearEnv: true,
    },
  );
});

test("failures before the command runs have status 125, but usage stays 2", async () => {
  assert.equal((await exec(["nobody", "--", "true"])).status, 125);
  assert.equal((await exec(["box"])).status, 2);
  assert.equal((await exec([])).status, 2);
  assert.equal((await exec(["box", "--", "missing"])).status, 127);
  const runtime = withPrograms();
  runtime.failures.set("exec", new SbxError("command_not_executable", "the command x is not executable"));
  assert.equal((await exec(["box", "--", "true"], { runtime })).status, 126);
});

test("an unknown sandbox is named, with what to do next", async () => {
  const result = await exec(["nobody", "--", "true"]);
  assert.equal(result.stderr, 'sbx: no sandbox is called "nobody"\n  try: sbx list\n');
});

test("--json makes the error JSON on stderr and keeps the status", async () => {
  const result = await exec(["--json", "nobody", "--", "true"]);
  assert.deepEqual(JSON.parse(result.stderr), {
    error: { code: "sandbox_not_found", message: 'no sandbox is called "nobody"', hint: "sbx list" },
  });
  assert.equal(result.stdout, "");
  assert.equal(result.status, 125);
});

test("a --json among the command's own words does not concern sbx", async () => {
  const result = await exec(["nobody", "--", "true", "--json"]);
  assert.match(result.stderr, /^sbx: /);
});

test("signals go to the command, and its status decides", async () => {
  const signals = new EventEmitter();
  const runtime = withPrograms({
    wait: async (process) =>
      new Promise((resolve) => {
        process.onSignal((name) => resolve(name === "SIGTERM" ? 143 : 1));
        setImmediate(() => signals.emit("SIGTERM"));
      }),
  });
  const result = await exec(["box", "--", "wait"], { runtime, signals });
  assert.equal(result.status, 143);
  assert.equal(result.stderr, "");
  assert.equal(signals.listenerCount("SIGTERM"), 0);
});

test("a second Ctrl-C within a second gives up on a command that does not listen", async () => {
  const signals = new EventEmitter();
  const seen: string[] = [];
  const runtime = withPrograms({
    deaf: async (process) =>
      new Promise(() => {
        process.onSignal((name) => seen.push(name));
        setImmediate(() => {
          signals.emit("SIGINT");
          runtime.now += 400;
          signals.emit("SIGINT");
        });
      }),
  });
  const result = await exec(["box", "--", "deaf"], { runtime, signals });
  assert.deepEqual(seen, ["SIGINT", "SIGKILL"]);
  assert.equal(result.status, 130);
});

test("two Ctrl-C far apart are two signals for the command", async () => {
  const signals = new EventEmitter();
  const runtime = withPrograms({
    twice: async (process) =>
      new Promise((resolve) => {
        process.onSignal(() => {
          if (process.signals.length === 2) resolve(7);
        });
        setImmediate(() => {
          signals.emit("SIGINT");
          runtime.now += 1500;
          signals.emit("SIGINT");
        });
      }),
  });
  assert.equal((await exec(["box", "--", "twice"], { runtime, signals })).status, 7);
});

test("a reader that goes away ends the command quietly, as a broken pipe does", async () => {
  const stdout = new Writable({
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
    },
  });
  const runtime = withPrograms({
    yes: async (process) =>
      new Promise((resolve) => {
        process.onSignal((name) => resolve(name === "SIGPIPE" ? 141 : 1));
        process.stdout.write("y\n");
      }),
  });
  const result = await exec(["box", "--", "yes"], { runtime, stdout });
  assert.equal(result.status, 141);
  assert.equal(result.stderr, "");
});

test("a reader that sleeps makes the command wait", async () => {
  const asleep = Promise.withResolvers<undefined>();
  let received = 0;
  const stdout = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      received += chunk.length;
      void asleep.promise.then(() => done());
    },
  });
  let writtenWhileAsleep = 0;
  const block = Buffer.alloc(64 * 1024);
  const runtime = withPrograms({
    flood: async (process) => {
      while (process.stdout.write(block)) writtenWhileAsleep += block.length;
      asleep.resolve(undefined);
      await new Promise((resolve) => process.stdout.once("drain", resolve));
      return 0;
    },
  });
  await exec(["box", "--", "flood"], { runtime, stdout });
  assert.ok(writtenWhileAsleep < 1024 * 1024, `${writtenWhileAsleep} bytes were taken from the command`);
  assert.equal(received, writtenWhileAsleep + block.length);
});

test("a command that was killed for want of memory is reported as such", async () => {
  const runtime = withPrograms({ big: () => ({ code: 137, signal: "SIGKILL", oom: "high-confidence" }) });
  const result = await exec(["box", "--", "big"], { runtime });
  assert.equal(result.status, 137);
  assert.match(result.stderr, /out of memory/);
});

test("a sandbox that stops under a running command says why, also when that takes a moment", async () => {
  const runtime = withPrograms({
    long: async ({ stdout }) => {
      setTimeout(() => runtime.stop(runtime.find("box"), "expired"), 150);
      stdout.destroy(new Error("the link is gone"));
      return new Promise(() => undefined);
    },
  });
  const result = await exec(["box", "--", "long"], { runtime });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /^sbx: the sandbox box stopped while the command was running\n {2}why: expired\n/);
});

test("stdin that cannot be read is a failure, not an early end", async () => {
  const stdin = new PassThrough();
  const runtime = withPrograms({
    cat: async () => new Promise(() => setImmediate(() => stdin.destroy(new Error("disk gone")))),
  });
  const result = await exec(["box", "--", "cat"], { runtime, stdin });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /disk gone/);
});

test("the size of the terminal follows the user's", async () => {
  const sizes: string[] = [];
  const stdout = Object.assign(new PassThrough(), { isTTY: true, columns: 80, rows: 24 });
  const runtime = withPrograms({
    screen: async (process) =>
      new Promise((resolve) => {
        process.onResize((cols, rows) => {
          sizes.push(`${cols}x${rows}`);
          resolve(0);
        });
        setImmediate(() => {
          Object.assign(stdout, { columns: 100, rows: 50 });
          stdout.emit("resize");
        });
      }),
  });
  stdout.resume();
  await exec(["-t", "box", "--", "screen"], { runtime, stdout, tty: { stdin: true } });
  assert.deepEqual(sizes, ["100x50"]);
  assert.equal(stdout.listenerCount("resize"), 0);
});

test("JSON and a terminal at once are refused before anything runs", async () => {
  const result = await runCommand(Exec, "exec", ["--json", "-t", "box", "--", "bash"]);
  assert.equal(result.status, 2);
  assert.match(result.stderr, /"message":"--json is for programs, and a terminal \(--tty\) is for a person"/);
  assert.deepEqual(result.runtime.calls, []);
});
