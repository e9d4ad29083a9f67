/** A machine and its supervisor that start together: who gets which descriptor, and who ends with whom. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { launcherPath } from "../../../src/host/package-root.ts";
import { prestartCommand } from "../../../src/vm/prestarted-machine.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const BUILDER: string = "../../../scripts/build-agent.mjs";
const { buildAgent } = (await import(BUILDER)) as { buildAgent: () => unknown };
buildAgent();

const LAUNCHER = launcherPath(process.arch === "arm64" ? "arm64" : "amd64");
const SUPERVISOR = [process.execPath, path.join(import.meta.dirname, "prestart-supervisor.mjs")];

/** What every process gets here from whoever runs these tests. */
const AMBIENT = new Set(
  spawnSync("ls", ["/proc/self/fd"], { encoding: "utf8" })
    .stdout.split("\n")
    .filter((fd) => Number(fd) > 3),
);

/** Stands in for bubblewrap and QEMU. */
function machine(script: string): string[] {
  return ["/bin/bash", "-c", script];
}

function stateFile(directory: string): string {
  const file = path.join(directory, "state");
  writeFileSync(file, "the saved state");
  return file;
}

/** What the supervisor reported. */
function run(command: string[]): Record<string, unknown> {
  const [program = "", ...words] = command;
  const { stdout, stderr, status } = spawnSync(program, words, { encoding: "utf8", timeout: 30_000 });
  assert.equal(status, 0, stderr);
  const lines = stdout.trim().split("\n");
  return Object.fromEntries(lines.map((line) => JSON.parse(line) as [string, unknown]));
}

test("the machine reads its state and the monitor's first commands, and talks to the supervisor", (t) => {
  const directory = temporaryDirectory(t);
  const script = `
    cat <&5 > ${directory}/seen
    for n in 1 2 3 4; do IFS= read -r line <&3; echo "$line" >> ${directory}/monitor; done
    echo on the console; echo complaint >&2
    echo '{"exit-code": 7}' >&6
    echo hello >&4; read answer <&4; echo "$answer" >> ${directory}/seen`;
  const seen = run(prestartCommand(LAUNCHER, stateFile(directory), 0, machine(script), SUPERVISOR));
  assert.deepEqual(seen.streams, { console: "on the console\n", errors: "complaint\n", agent: "hello\n" });
  assert.deepEqual(seen.exit, { code: 7, signal: null });
  assert.equal(readFileSync(path.join(directory, "seen"), "utf8"), "the saved statebye\n");
  const commands = readFileSync(path.join(directory, "monitor"), "utf8").trim().split("\n");
  assert.deepEqual(
    commands.map((line) => (JSON.parse(line) as { execute: string }).execute),
    ["qmp_capabilities", "migrate-set-capabilities", "migrate-set-parameters", "migrate-incoming"],
  );
  assert.equal(seen.variable, null, "the variable is not passed on");
  // Standard input, output and error, and the directory that is being listed.
  const inherited = (seen.inherited as string[]).filter((fd) => !AMBIENT.has(fd));
  assert.deepEqual(
    inherited,
    ["0", "1", "2", "3"],
    "what the supervisor starts gets none of the machine's descriptors",
  );
});

test("the first bytes of standard input are for the agent, the rest is the supervisor's", (t) => {
  const directory = temporaryDirectory(t);
  const script = `head -c 5 <&4 > ${directory}/greeting`;
  const supervisor = ["/bin/bash", "-c", `cat > ${directory}/rest`];
  const words = prestartCommand(LAUNCHER, stateFile(directory), 5, machine(script), supervisor);
  assert.equal(spawnSync(words[0], words.slice(1), { input: "greetthe launch", timeout: 30_000 }).status, 0);
  assert.equal(readFileSync(path.join(directory, "rest"), "utf8"), "the launch");
  const short = spawnSync(words[0], words.slice(1), { input: "gre", encoding: "utf8", timeout: 30_000 });
  assert.deepEqual([short.status, short.stderr], [125, "sbx-launch: standard input: unexpected EOF\n"]);
});

test("the machine has its own descriptors only, no environment and a process group of its own", (t) => {
  const directory = temporaryDirectory(t);
  const script = `ls /proc/$$/fd > ${directory}/fds; env | sort > ${directory}/env
    ps -o pgid= -p $$ | tr -d ' ' > ${directory}/group; readlink /proc/$$/fd/0 > ${directory}/stdin`;
  const seen = run(prestartCommand(LAUNCHER, stateFile(directory), 0, machine(script), SUPERVISOR));
  const text = (name: string): string => readFileSync(path.join(directory, name), "utf8").trim();
  const own = ["0", "1", "2", "3", "4", "5", "6", "7"];
  assert.deepEqual(
    text("fds")
      .split("\n")
      .filter((fd) => own.includes(fd) || !AMBIENT.has(fd)),
    own,
  );
  assert.match(text("env"), /^LC_ALL=C\nPATH=\/usr\/bin:\/bin\nPWD=\/\nSHLVL=\d\n_=.*$/);
  assert.equal(text("group"), String(seen.pid));
  assert.equal(text("stdin"), "/dev/null");
});

test("a machine that ends without a word was killed, and one that is stopped is gone with all below it", (t) => {
  const directory = temporaryDirectory(t);
  const silent = run(prestartCommand(LAUNCHER, stateFile(directory), 0, machine("exit 3"), SUPERVISOR));
  assert.deepEqual(silent.exit, { code: null, signal: "SIGKILL" });
  const script = `sleep 1000 & echo $! > ${directory}/below; wait`;
  const stopped = run(prestartCommand(LAUNCHER, stateFile(directory), 0, machine(script), [...SUPERVISOR, "stop"]));
  assert.deepEqual(stopped.exit, { code: null, signal: "SIGKILL" });
  if (existsSync(path.join(directory, "below"))) {
    const below = readFileSync(path.join(directory, "below"), "utf8").trim();
    assert.ok(below === "" || !isRunning(Number(below)));
  }
});

test("a machine that dies with its parent dies with the supervisor, and not before", async (t) => {
  const directory = temporaryDirectory(t);
  // Another program takes the process over twice, as prlimit and bubblewrap do.
  const dying = ["setpriv", "--pdeathsig", "KILL", "sleep", "1000"];
  const words = prestartCommand(LAUNCHER, stateFile(directory), 0, ["/usr/bin/env", ...dying], SUPERVISOR);
  const child = spawn(words[0], words.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
  const [first] = (await once(child.stdout, "data")) as [Buffer];
  const [, pid] = JSON.parse(first.toString().split("\n")[0] ?? "") as [string, number];
  await sleep(50);
  assert.ok(existsSync(`/proc/${pid}/exe`), "it survives that the launcher becomes the supervisor");
  child.kill("SIGKILL");
  await once(child, "exit");
  for (let tries = 0; isRunning(pid) && tries < 200; tries += 1) await sleep(10);
  assert.ok(!isRunning(pid));
});

/** Whether it runs; nobody may have reaped it yet. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false; // It is gone.
  }
}

test("a supervisor that cannot be started takes the machine with it, and says why", async (t) => {
  const directory = temporaryDirectory(t);
  const script = `echo $$ > ${directory}/pid; exec sleep 1000`;
  const words = prestartCommand(LAUNCHER, stateFile(directory), 0, machine(script), ["/nonexistent/node"]);
  const { status, stderr } = spawnSync(words[0], words.slice(1), { encoding: "utf8", timeout: 30_000 });
  assert.equal(status, 125);
  assert.match(stderr, /^sbx-launch: \/nonexistent\/node could not be started: no such file or directory\n$/);
  await sleep(100);
  if (!existsSync(path.join(directory, "pid"))) return;
  const pid = Number(readFileSync(path.join(directory, "pid"), "utf8"));
  assert.ok(pid === 0 || !isRunning(pid));
});

test("a launcher that is called in another way says how it wants to be called", () => {
  for (const words of [[], ["1"], ["0", "a", "b"], ["3", "a", "b"], ["--socket", "x:4", "1", "a", "b"]]) {
    const { status, stderr } = spawnSync(LAUNCHER, words, { encoding: "utf8" });
    assert.equal(status, 125);
    assert.match(stderr, /usage: sbx-launch/);
  }
  const missing = spawnSync(LAUNCHER, ["--file", "5:/nonexistent", "1", "/bin/true", "/bin/true"], {
    encoding: "utf8",
  });
  assert.match(missing.stderr, /\/nonexistent: no such file/);
});
