/** Runs sbx on a PTY of the host, as a person at a terminal would. */
import assert from "node:assert/strict";
import { runHost, PROGRAM, type Outcome } from "./program.ts";
import type { TestHome } from "./test-home.ts";

export type Step =
  /** Reads until the text comes (behind the last one). */
  | { wait: string }
  /** Reads so many bytes, and then nothing for a while. */
  | { swallow: number }
  | { type: string }
  /** Types bytes `a` to `z` over and over. */
  | { paste: number }
  | { resize: [columns: number, rows: number] }
  /** Runs a command of the host to its end. */
  | { run: string[] }
  /** Sends sbx a signal. */
  | { signal: number }
  /** Closes the terminal. */
  | { hangup: true };

export interface PtyOptions {
  columns?: number;
  rows?: number;
  env?: Record<string, string>;
}

/** Each step in turn; a PTY whose settings are not at the end what they were is a failure. */
const DRIVER = `
import fcntl, json, os, pty, select, signal, struct, subprocess, sys, termios, time
size, steps, argv = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
def resize(fd, cols, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
ready, go = os.pipe()
pid, fd = pty.fork()
if pid == 0:
    os.read(ready, 1)
    os.execv(argv[0], argv)
resize(fd, *size)
before = termios.tcgetattr(fd)
os.write(go, b"x")
seen, at, deadline, hung = b"", 0, time.monotonic() + 60, False
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
def late(why):
    if time.monotonic() > deadline: give_up(why)
for step in steps:
    if "wait" in step:
        word = step["wait"].encode()
        while seen.find(word, at) < 0:
            late("never saw " + repr(step["wait"]))
            if not read(0.2): give_up("ended before " + repr(step["wait"]))
        at = seen.find(word, at) + len(word)
    elif "swallow" in step:
        end = len(seen) + step["swallow"]
        while len(seen) < end:
            late("never saw so much")
            if not read(0.2): give_up("ended before so much")
        at = len(seen)
        time.sleep(0.5)
        print("INTERRUPTED AT", len(seen), file=sys.stderr)
    elif "type" in step: os.write(fd, step["type"].encode())
    elif "paste" in step:
        text = (b"abcdefghijklmnopqrstuvwxyz" * (step["paste"] // 26 + 1))[:step["paste"]]
        while text:
            late("took no more keys")
            text = text[os.write(fd, text[:4096]):]
            read(0)
    elif "resize" in step: resize(fd, *step["resize"])
    elif "run" in step:
        done = subprocess.run(step["run"], capture_output=True)
        if done.returncode != 0: give_up("failed: " + repr(done))
    elif "signal" in step: os.kill(pid, step["signal"])
    else: os.close(fd); hung = True
while not hung and read(max(0, deadline - time.monotonic())): late("did not end")
status = os.waitpid(pid, 0)[1]
if not hung and termios.tcgetattr(fd) != before: sys.exit("the terminal is not as it was")
sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
`;

/** Runs sbx with the arguments on a terminal of 100 columns and 30 rows. */
export async function onTerminal(
  home: TestHome,
  args: readonly string[],
  steps: readonly Step[],
  options: PtyOptions = {},
): Promise<Outcome> {
  const { columns = 100, rows = 30, env = {} } = options;
  const size = JSON.stringify([columns, rows]);
  const argv = ["python3", "-c", DRIVER, size, JSON.stringify(steps), ...PROGRAM, ...args] as const;
  const outcome = await runHost(argv, { env: { ...home.env, TERM: "xterm-256color", ...env } });
  assert.doesNotMatch(outcome.stderr, /never saw|ended before|did not end|took no more|failed:|is not as it was/);
  return outcome;
}

/** How many bytes came after the terminal had stopped reading ({@link Step} `swallow`). */
export function bytesAfterInterrupt({ stderr, bytes }: Outcome): number {
  const at = /INTERRUPTED AT (\d+)/.exec(stderr)?.[1];
  assert.ok(at !== undefined, stderr);
  return bytes.length - Number(at);
}
