import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pattern } from "./fake-sbx.ts";

const FAKE_SBX = join(import.meta.dirname, "fake-sbx.ts");
const directory = mkdtempSync(join(tmpdir(), "sbx-process-"));
const env = { ...process.env, XDG_CONFIG_HOME: directory };
after(() => rmSync(directory, { recursive: true, force: true }));

function shell(script: string): ReturnType<typeof spawnSync> & { stdout: string; stderr: string } {
  const sbx = `'${process.execPath}' '${FAKE_SBX}'`;
  return spawnSync("bash", ["--norc", "-c", script.replaceAll("SBX", sbx)], {
    encoding: "utf8",
    env,
    maxBuffer: 1 << 28,
  });
}

function start(...argv: string[]): ChildProcess {
  return spawn(process.execPath, [FAKE_SBX, ...argv], { env, stdio: ["ignore", "pipe", "pipe"] });
}

async function untilReady(child: ChildProcess): Promise<void> {
  if (child.stdout !== null) await once(child.stdout, "data");
}

test("20 MB come out to the byte, into a pipe and into a file, and the status follows the last of them", () => {
  const size = 20_000_003;
  const expected = createHash("sha256").update(pattern(0, size)).digest("hex");
  assert.equal(shell(`SBX exec box -- flood ${size} | sha256sum`).stdout.split(" ")[0], expected);
  const path = join(directory, "out");
  assert.equal(shell(`SBX exec box -- flood ${size} > '${path}'; echo $?`).stdout, "0\n");
  assert.equal(createHash("sha256").update(readFileSync(path)).digest("hex"), expected);
});

test("stdin goes in to the byte, from a pipe and from a file", () => {
  const expected = createHash("sha256").update(pattern(0, 5_000_001)).digest("hex");
  const path = join(directory, "in");
  shell(`SBX exec box -- flood 5000001 > '${path}'`);
  assert.equal(shell(`SBX exec box -- sha256 < '${path}'`).stdout, expected);
  assert.equal(shell(`cat '${path}' | SBX exec box -- sha256`).stdout, expected);
});

test("the guest's status is the process's", () => {
  for (const status of [0, 1, 42, 255]) assert.equal(shell(`SBX exec box -- leave ${status}`).status, status);
});

test("a closed pipe ends it quietly", () => {
  const { stdout, stderr } = shell("SBX exec box -- yes | head -n 1; echo ${PIPESTATUS[0]}");
  assert.equal(stdout, "y\n141\n");
  assert.equal(stderr, "");
  assert.equal(shell("SBX list | true").stderr, "");
});

test("output that cannot be written is a failure with a name", () => {
  const { stderr, status } = shell("SBX list > /dev/full");
  assert.equal(status, 1);
  assert.match(stderr, /^sbx: the output cannot be written\n {2}why: .*ENOSPC/);
});

test("signals reach the command, and its status decides", async () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
    const child = start("exec", "box", "--", "signal");
    await untilReady(child);
    let said = "";
    child.stdout?.on("data", (chunk) => (said += String(chunk)));
    child.kill(signal);
    const [status] = (await once(child, "close")) as [number];
    assert.deepEqual([status, said], [3, `${signal}\n`]);
  }
});

test("two SIGINT within a second end a command that does not listen", async () => {
  const child = start("exec", "box", "--", "deaf");
  await untilReady(child);
  child.kill("SIGINT");
  await new Promise((resolve) => setTimeout(resolve, 150));
  child.kill("SIGINT");
  const [status] = (await once(child, "close")) as [number];
  assert.equal(status, 130);
});

test("an error that nobody caught is reported and has a status", () => {
  const { status, stderr } = shell("SBX exec box -- crash");
  assert.equal(status, 1);
  assert.match(stderr, /^sbx: something went wrong inside sbx: nobody caught this\n/);
});

test("it ends although stdin stays open", () => {
  const { status } = shell(
    "sleep 30 | { SBX exec box -- leave 7; status=$?; kill %% 2>/dev/null; pkill -P $$ sleep; exit $status; }",
  );
  assert.equal(status, 7);
});

/** Runs a line in a new pseudo-terminal (util-linux script), so that there is a real one to put right. */
function inTerminal(script: string, input: string): string {
  const sbx = `'${process.execPath}' '${FAKE_SBX}'`;
  const line = script.replaceAll("SBX", sbx);
  return spawnSync("script", ["-qec", `bash --norc -c "${line.replaceAll(/["$`\\]/g, "\\$&")}"`, "/dev/null"], {
    encoding: "utf8",
    env: { ...env, NO_COLOR: "1" },
    input,
  }).stdout;
}

const MODES = "stty -a | grep -o -- '-\\?icanon' | tail -1";

test("create on a terminal opens a shell of its size, and the terminal is as it was afterwards", () => {
  const output = inTerminal(`stty cols 90 rows 33; SBX create -q; echo status $?; ${MODES}`, "q");
  assert.match(output, /shell 90x33/);
  assert.match(output, /status 5/);
  assert.match(output, /^icanon/m);
});

test("the terminal is put right when the process crashes or is told to end", () => {
  const crashed = inTerminal(`SBX exec -t box -- crash; ${MODES}`, "");
  assert.match(crashed, /nobody caught this/);
  assert.match(crashed, /^icanon/m);
  const ended = inTerminal(
    `SBX exec -t box -- signal & sleep 1.5; kill -TERM $!; wait $!; echo status $?; ${MODES}`,
    "",
  );
  assert.match(ended, /SIGTERM/);
  assert.match(ended, /status 3/);
  assert.match(ended, /^icanon/m);
});

test("nothing of a launcher that was killed goes on", async () => {
  // The launcher's part is played by a shell that is killed while the command runs.
  const file = openSync(join(directory, "launcher.out"), "w");
  const launcher = spawn(
    "bash",
    ["--norc", "-c", `SBX_LAUNCHER_PID=$$ '${process.execPath}' '${FAKE_SBX}' exec box -- signal & wait`],
    {
      env,
      stdio: ["ignore", file, file],
    },
  );
  const said = (): string => readFileSync(join(directory, "launcher.out"), "utf8");
  while (!said().includes("ready")) await new Promise((resolve) => setTimeout(resolve, 50));
  launcher.kill("SIGKILL");
  while (!said().includes("SIGHUP")) await new Promise((resolve) => setTimeout(resolve, 50));
  closeSync(file);
  assert.equal(said(), "ready\nSIGHUP\n");
});
