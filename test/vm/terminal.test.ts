/** Terminals: what `-t` and a bare `create` give a person, tried through a real PTY of the host. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { untilClean } from "./support/leftovers.ts";
import { PROGRAM, type Outcome } from "./support/program.ts";
import { bytesAfterInterrupt, onTerminal as runOnTerminal, type PtyOptions, type Step } from "./support/pty.ts";
import { openTestHome } from "./support/test-home.ts";

const home = await openTestHome();
let id = "";
before(async () => {
  id = await home.create("--name", "term");
});
after(async () => home[Symbol.asyncDispose]());

async function onTerminal(args: string[], steps: Step[], options: PtyOptions = {}): Promise<Outcome> {
  return runOnTerminal(home, args, steps, options);
}

/** A line of bash on a terminal. */
async function bash(line: string, steps: Step[], options: PtyOptions & { args?: string[] } = {}): Promise<Outcome> {
  return onTerminal(["exec", "-t", ...(options.args ?? []), id, "--", "bash", "-c", line], steps, options);
}

test("-t gives the command a terminal of the size of the user's, which follows its changes", async () => {
  const outcome = await onTerminal(
    ["exec", "-t", id, "--", "bash", "-c", "tty; echo size $(stty size) $TERM; read x; echo size $(stty size); exit 5"],
    [{ wait: "size 30 100 xterm-256color" }, { resize: [132, 50] }, { type: "go\r" }, { wait: "size 50 132" }],
  );
  assert.equal(outcome.status, 5);
  assert.match(outcome.stdout, /^\/dev\/pts\/\d+\r\n/);
});

test("a resize reaches a program that waits for it", async () => {
  const script =
    "import signal,os\nsignal.signal(signal.SIGWINCH, lambda *_: print(os.get_terminal_size()) or os._exit(0))\nprint('up',flush=True)\nwhile True: signal.pause()";
  const outcome = await onTerminal(
    ["exec", "-t", id, "--", "python3", "-u", "-c", script],
    [{ wait: "up" }, { resize: [81, 25] }, { wait: "columns=81, lines=25" }],
  );
  assert.equal(outcome.status, 0);
});

test("Ctrl-C on a terminal is the guest's: it ends what runs in front, not the shell", async () => {
  const outcome = await onTerminal(
    ["exec", "-t", id, "--", "bash", "--norc", "-i"],
    [
      { wait: "$ " },
      // Between the line and the program the shell itself is in front, and a Ctrl-C is nobody's.
      { type: "sh -c 'echo up''on; exec sleep 1000'\r" },
      { wait: "upon" },
      { type: "\u0003" },
      { wait: "^C" },
      { type: "echo st$?\r" },
      { wait: "st130" },
      { type: "exit 6\r" },
    ],
  );
  assert.equal(outcome.status, 6);
});

test("create on a terminal opens a login shell and removes the sandbox when it ends", async () => {
  const outcome = await onTerminal(
    ["create", "--name", "shelly"],
    [
      { wait: "$ " },
      { type: "hostname; shopt -q login_shell && echo log''in; exit 3\r" },
      { wait: "shelly" },
      { wait: "login" },
    ],
  );
  assert.equal(outcome.status, 3);
  const info = await home.info("shelly");
  assert.deepEqual([info.status, info.reason], ["stopped", "session_ended"]);
  await untilClean(home, { alive: [id] });
});

test("a terminal that is closed ends the shell's sandbox", async () => {
  await onTerminal(["create", "--name", "gone"], [{ wait: "$ " }, { hangup: true }]);
  await untilClean(home, { alive: [id] });
  assert.equal((await home.info("gone")).status, "stopped");
});

test("Ctrl-Z and Ctrl-\\ are the guest's: jobs are stopped, brought back and quit", async () => {
  const outcome = await onTerminal(
    ["exec", "-t", id, "--", "bash", "--norc", "-i"],
    [
      { wait: "$ " },
      { type: `sh -c 'trap "echo more""over" CONT; echo up""on; while :; do sleep 0.1; done'\r` },
      { wait: "upon" },
      { type: "\u001a" },
      { wait: "Stopped" },
      { type: "fg; echo st$?\r" },
      { wait: "moreover" },
      { type: "\u001c" },
      { wait: "st131" },
      { type: "exit 4\r" },
    ],
  );
  assert.equal(outcome.status, 4);
});

test("windows of odd sizes are passed on: one column, five hundred", async () => {
  for (const [columns, rows] of [
    [1, 1],
    [500, 3],
  ] as const) {
    const { stdout } = await bash("stty size", [], { columns, rows });
    assert.equal(stdout, `${rows} ${columns}\r\n`);
  }
});

test("the erase key takes a whole character, and what is typed for a password is not shown", async () => {
  const line = "echo ready; read -r x; echo got-$x; read -rs -p Password: y; echo; echo -n $y | md5sum";
  const { stdout } = await bash(line, [
    { wait: "ready" },
    { type: "a\u00e9\u6f22\u007f\u007fb\r" },
    { wait: "got-ab\r\n" },
    { wait: "Password:" },
    { type: "hidden\r" },
  ]);
  assert.match(stdout, new RegExp(createHash("md5").update("hidden").digest("hex")));
  assert.doesNotMatch(stdout, /hidden/);
});

test("the guest knows which terminal it has and what the user thinks of colours, or is told of one that it knows", async () => {
  const line = 'echo "$TERM/$COLORTERM/$NO_COLOR"; tput colors';
  const known = await bash(line, [], { env: { TERM: "tmux-256color", COLORTERM: "truecolor", NO_COLOR: "1" } });
  assert.equal(known.stdout, "tmux-256color/truecolor/1\r\n256\r\n");
  const unknown = await bash(line, [], { env: { TERM: "xterm-kitty", NO_COLOR: "" } });
  assert.equal(unknown.stdout, "xterm-256color//\r\n256\r\n");
});

test("a large paste arrives whole", async () => {
  const bytes = 1_000_000;
  const text = "abcdefghijklmnopqrstuvwxyz".repeat(bytes / 26 + 1).slice(0, bytes);
  const { stdout } = await bash(`stty raw -echo; echo ready; head -c ${bytes} | sha256sum`, [
    { wait: "ready" },
    { paste: bytes },
  ]);
  assert.match(stdout, new RegExp(createHash("sha256").update(text).digest("hex")));
});

test("Ctrl-C in a flood of output ends it at once: little is under way", async () => {
  const line = `trap 'echo; echo ended; exit 7' INT; yes ${"0123456789".repeat(7)}`;
  const outcome = await bash(line, [{ swallow: 3_000_000 }, { type: "\u0003" }, { wait: "ended" }]);
  assert.equal(outcome.status, 7);
  assert.ok(bytesAfterInterrupt(outcome) < 400_000, `${bytesAfterInterrupt(outcome)} bytes came after it`);
});

test("a terminal is answered while others, and other commands, flood", async () => {
  const flood = ["exec", id, "--", "timeout", "60", "cat", "/dev/zero"];
  const { stdout } = await bash("stty -echo; while read -r x; do [ $x = 40 ] && exit 5; echo =$x=; done", [
    { type: "0\r" },
    { wait: "=0=" },
    { run: ["sh", "-c", `'${[...PROGRAM, ...flood].join("' '")}' >/dev/null 2>&1 & "$@" >/dev/null 2>&1 &`, "sh"] },
    ...Array.from({ length: 39 }, (_, index): Step[] => [
      { type: `${index + 1}\r` },
      { wait: `=${index + 1}=` },
    ]).flat(),
    { type: "40\r" },
  ]);
  assert.match(stdout, /=39=/);
  await home.bash(id, "pkill cat; true");
});

const HARMFUL = "\\033]52;c;ZXZpbA==\\007\\033[21t\\033P$qm\\033\\134\\005";
const CONTROLS = "\u001b]52;c;ZXZpbA==\u0007\u001b[21t\u001bP$qm\u001b\\\u0005";

test("what could harm does not reach the terminal, with -t and without, unless it is asked for", async () => {
  const line = `printf '<${HARMFUL}>\\033[1mbold\\033[0m'`;
  const shown = "<>\u001b[1mbold\u001b[0m";
  assert.equal((await bash(line, [])).stdout, shown);
  assert.equal((await onTerminal(["exec", id, "--", "bash", "-c", `${line}; ${line} >&2`], [])).stdout, shown + shown);
  assert.equal((await bash(line, [], { args: ["--unfiltered"] })).stdout, `<${CONTROLS}>\u001b[1mbold\u001b[0m`);
});

test("what is no terminal gets the guest's bytes as they are", async () => {
  const { stdout } = await home.sbx(["exec", id, "--", "bash", "-c", `printf '<${HARMFUL}>'`]);
  assert.equal(stdout, `<${CONTROLS}>`);
});

test("what a program leaves on is turned off when it ends", async () => {
  const modes = "\\033[?1049h\\033[?1003h\\033[?1006h\\033[?2004h\\033[?25l\\033=\\033[5 q";
  const { stdout, status } = await bash(`printf "${modes}"; exit 3`, []);
  assert.equal(status, 3);
  const reset = "\u001b[?1003l\u001b[?1006l\u001b[?2004l\u001b[?1049l\u001b[?25h\u001b>\u001b[0 q";
  assert.ok(stdout.endsWith(reset), JSON.stringify(stdout));
});

test("a terminal that is right is left as it is: nothing is written at the end", async () => {
  assert.equal((await bash("printf '\\033[?2004h$ \\033[?2004l\\033[31mred\\033[0m.'", [])).stdout.at(-1), ".");
});
