/** Terminals: what `-t` and a bare `create` give a person, tried through a real PTY of the host. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { untilClean } from "./support/leftovers.ts";
import { PROGRAM, runHost, type Outcome } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const home = await openTestHome();
let id = "";
before(async () => {
  id = await home.create("--name", "term");
});
after(async () => home[Symbol.asyncDispose]());

/** Runs sbx on a PTY of 100 columns and 30 rows. A step waits for a text, then types, resizes or hangs up. */
type Step = { wait: string } | { type: string } | { resize: [number, number] } | { hangup: true };

const PTY_DRIVER = `
import fcntl, json, os, pty, select, signal, struct, sys, termios, time
steps, argv = json.loads(sys.argv[1]), sys.argv[2:]
def resize(fd, cols, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
pid, fd = pty.fork()
if pid == 0:
    resize(0, 100, 30)
    os.execv(argv[0], argv)
seen, at, deadline, hung = b"", 0, time.monotonic() + 90, False
def read(wait):
    global seen
    if not select.select([fd], [], [], wait)[0]: return True
    try: piece = os.read(fd, 65536)
    except OSError: piece = b""
    seen += piece
    sys.stdout.buffer.write(piece); sys.stdout.buffer.flush()
    return piece != b""
def give_up(why):
    os.kill(pid, signal.SIGKILL); sys.exit(why + " after: " + repr(seen[-500:]))
for step in steps:
    if "wait" in step:
        word = step["wait"].encode()
        while seen.find(word, at) < 0:
            if time.monotonic() > deadline: give_up("never saw " + step["wait"])
            if not read(0.2): give_up("ended before " + step["wait"])
        at = seen.find(word, at) + len(word)
    elif "type" in step: os.write(fd, step["type"].encode())
    elif "resize" in step: resize(fd, *step["resize"])
    else: os.close(fd); hung = True
while not hung and read(max(0, deadline - time.monotonic())):
    if time.monotonic() > deadline: give_up("did not end")
status = os.waitpid(pid, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
`;

async function onTerminal(args: string[], steps: Step[]): Promise<Outcome> {
  const outcome = await runHost(["python3", "-c", PTY_DRIVER, JSON.stringify(steps), ...PROGRAM, ...args], {
    env: { ...home.env, TERM: "xterm-256color" },
  });
  assert.doesNotMatch(outcome.stderr, /never saw|ended before|did not end/);
  return outcome;
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
