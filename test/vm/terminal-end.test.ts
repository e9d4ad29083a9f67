/** How a session with a terminal ends, whoever ends it: the terminal is as it was, and the user is told why. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { PROGRAM, type Outcome } from "./support/program.ts";
import { onTerminal, type Step } from "./support/pty.ts";
import { openTestHome } from "./support/test-home.ts";

const home = await openTestHome();
after(async () => home[Symbol.asyncDispose]());

/** A full-screen program that nothing ends, and that says when it is there. */
const FULL_SCREEN = `printf '\\033[?1049h\\033[?1000h\\033[?25lup'; trap '' TERM HUP; while :; do sleep 1; done`;
/** What turns off what it turned on. */
const RIGHT_AGAIN = "\u001b[?1000l\u001b[?1049l\u001b[?25h";

function sbx(...args: string[]): Step {
  return { run: ["env", `SBX_HOME=${home.path}`, ...PROGRAM, ...args] };
}

function isRightAgain({ stdout }: Outcome): void {
  assert.ok(stdout.includes(RIGHT_AGAIN), JSON.stringify(stdout.slice(-300)));
}

async function fullScreen(id: string, ...steps: Step[]): Promise<Outcome> {
  return onTerminal(home, ["exec", "-t", id, "--", "bash", "-c", FULL_SCREEN], [{ wait: "up" }, ...steps]);
}

test("a sandbox that is killed, loses its machine or its supervisor, or whose time is over, says which", async () => {
  const killed = await home.create();
  const [crashed, lost, expired] = [await home.create(), await home.create(), await home.create("--timeout", "10s")];
  const { vmPid } = await home.info(crashed);
  const { supervisorPid } = await home.info(lost);
  const outcomes = await Promise.all([
    fullScreen(expired),
    fullScreen(killed, sbx("kill", killed)),
    fullScreen(crashed, { run: ["kill", "-KILL", String(vmPid)] }),
    fullScreen(lost, { run: ["kill", "-KILL", String(supervisorPid)] }),
  ]);
  const reasons = ["expired", "killed", "crashed: QEMU ended by SIGKILL", "crashed: its supervisor was ended"];
  for (const [index, outcome] of outcomes.entries()) {
    const reason = reasons[index] ?? "";
    isRightAgain(outcome);
    assert.equal(outcome.status, 1);
    const [, message = ""] = outcome.stdout.split(RIGHT_AGAIN);
    assert.match(message, /^sbx: the sandbox \S+ stopped while the command was running\r\n/);
    assert.ok(message.includes(`why: ${reason}`), message);
  }
});

test("SIGTERM and SIGHUP to sbx end the session though the program ignores them", async () => {
  const id = await home.create();
  const [terminated, hungUp] = await Promise.all([fullScreen(id, { signal: 15 }), fullScreen(id, { signal: 1 })]);
  isRightAgain(terminated);
  isRightAgain(hungUp);
  assert.deepEqual([terminated.status, hungUp.status], [143, 129]);
  assert.equal(await home.bash(id, "pgrep -fc '[?]1049h' || true"), "0");
});

test("Enter ~. leaves a program that hangs, and a sandbox that stands still; ~~ types ~", async () => {
  const id = await home.create("--name", "hung");
  const left = await fullScreen(id, { type: "\r~." });
  isRightAgain(left);
  assert.equal(left.status, 129);
  assert.ok(left.stdout.endsWith(`${RIGHT_AGAIN}sbx: left; the command was hung up\r\n`), left.stdout);
  const prompt = await onTerminal(
    home,
    ["exec", "-t", id, "--", "bash", "-c", "echo ready; cat"],
    [{ wait: "ready" }, { type: "word" }, { wait: "word" }, { type: "\r~." }],
  );
  assert.match(prompt.stdout, /\r\nsbx: left; the command was hung up\r\n$/);
  const typed = await onTerminal(
    home,
    ["exec", "-t", id, "--", "bash", "-c", "stty -echo; echo ready; read -r x; echo got-$x"],
    [{ wait: "ready" }, { type: "~~.\r" }, { wait: "got-~." }],
  );
  assert.equal(typed.status, 0);
  const raw = await onTerminal(
    home,
    ["exec", "-t", "--escape-key", "none", id, "--", "bash", "-c", "stty -echo; echo ready; read -r x; echo got-$x"],
    [{ wait: "ready" }, { type: "~.\r" }, { wait: "got-~." }],
  );
  assert.equal(raw.status, 0);
  const still = await fullScreen(id, sbx("pause", id), { type: "\r~." });
  isRightAgain(still);
  assert.equal(still.status, 129);
  await home.must(["resume", id]);
});

test("a sandbox that is paused says so on a screen that does not answer, until it goes on", async () => {
  const id = await home.create("--name", "resting");
  const script = [
    "import os, signal, sys",
    "signal.signal(signal.SIGWINCH, lambda *_: print('drawn', os.get_terminal_size()))",
    "print('ready', flush=True)",
    "for line in sys.stdin: print('=' + line.strip() + '=')",
  ].join("\n");
  const outcome = await onTerminal(
    home,
    ["exec", "-t", id, "--", "python3", "-u", "-c", script],
    [
      { wait: "ready" },
      sbx("pause", id),
      { type: "word\r" },
      { wait: "\u001b[30;1H" },
      { wait: "the sandbox is paused; sbx resume resting has it go on" },
      sbx("resume", id),
      { wait: "=word=" },
      { wait: "\u001b[30;1H\u001b[0m\u001b[2K\u001b8" },
      { wait: "drawn os.terminal_size(columns=100, lines=30)" },
      { type: "\r~." },
    ],
  );
  assert.equal(outcome.status, 129);
});
