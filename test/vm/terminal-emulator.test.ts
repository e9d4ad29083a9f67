/** Full-screen programs of the guest in a real terminal emulator (tmux). */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PROGRAM, runHost } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const home = await openTestHome();
const socket = home.scratch("tmux");
let id = "";

async function tmux(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await runHost(["tmux", "-S", socket, "-f", "/dev/null", ...args], {
    env: { ...home.env, LANG: "C.UTF-8", SHELL: "/bin/sh" },
  });
  assert.equal(status, 0, stderr);
  return stdout.trimEnd();
}

const keys = async (...words: string[]): Promise<string> => tmux("send-keys", "-t", "t", ...words);

/** Waits until the screen is like this; returns it. */
async function screen(wanted: RegExp): Promise<string> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const text = await tmux("capture-pane", "-p", "-t", "t");
    if (wanted.test(text)) return text;
    assert.ok(performance.now() < deadline, `${String(wanted)} never came to be on the screen:\n${text}`);
    await sleep(100);
  }
}

before(async () => {
  id = await home.create("--name", "screen");
  await tmux("new-session", "-d", "-s", "t", "-x", "80", "-y", "20", "env PS1='host> ' sh");
  await screen(/host>$/);
  await keys(`${PROGRAM.join(" ")} exec -t ${id} -- bash --norc`, "Enter");
  await screen(/bash-\S+\$$/);
});
after(async () => {
  await tmux("kill-server");
  await home[Symbol.asyncDispose]();
});

test("an editor draws on the alternate screen, in wide characters, follows the window, and gives the screen back", async () => {
  await keys("clear; vi /tmp/text", "Enter");
  await screen(/\n~[^]*"\/tmp\/text" \[New/);
  assert.equal(await tmux("display", "-p", "-t", "t", "#{alternate_on}"), "1");
  await keys("i", "one – 漢字 – é");
  await keys("Escape");
  await screen(/^one – 漢字 – é\n~/);
  await tmux("resize-window", "-t", "t", "-x", "60", "-y", "12");
  const lines = (await screen(/^one – 漢字 – é\n(?:~\n){9}~$/)).split("\n");
  assert.ok(lines.length <= 12, lines.join("\n"));
  await keys(":wq", "Enter");
  await screen(/bash-\S+\$$/);
  assert.equal(await tmux("display", "-p", "-t", "t", "#{alternate_on}"), "0");
  await keys("clear; cat /tmp/text; stty size", "Enter");
  await screen(/^one – 漢字 – é\n12 60\n/);
});

test("a pager and a process list take keys without Enter and leave by one", async () => {
  await keys("seq 1000 | less", "Enter");
  await screen(/^1\n2\n3\n[^]*:$/);
  await keys("G");
  await screen(/^990\n[^]*1000\n\(END\)$/);
  await keys("q", "top", "Enter");
  await screen(/^top - [^]*PID USER/);
  await keys("q");
  await screen(/bash-\S+\$$/);
});

test("a paste is marked as one where the program asks, and sbx can be suspended and brought back around an editor", async () => {
  await keys("clear", "Enter");
  await screen(/^bash-\S+\$$/);
  await tmux("set-buffer", "echo first\r~.\recho second");
  await tmux("paste-buffer", "-p", "-t", "t");
  // Neither run nor taken for the keys that leave: it waits for Enter.
  await screen(/\$ echo first\n~\.\necho second$/);
  await keys("C-c");
  await screen(/second\^C\n(?:.*\n)*bash-\S+\$$/);
  await keys("vi -u NONE /tmp/text", "Enter");
  await screen(/^one/);
  // In an editor as well Enter comes before it.
  await keys("Enter", "~", "C-z");
  await screen(/host>$/);
  assert.equal(await tmux("display", "-p", "-t", "t", "#{alternate_on}"), "0");
  await keys("stty -a | grep -ow -e -icanon -e icanon; fg", "Enter");
  await screen(/^one – 漢字 – é\n~/);
  assert.equal(await tmux("display", "-p", "-t", "t", "#{alternate_on}"), "1");
  await keys(":q!", "Enter");
  await screen(/bash-\S+\$$/);
  await keys("exit 9", "Enter");
  const end = await screen(/host>$/);
  assert.match(end, /^icanon$/m);
  await keys("echo status-$?", "Enter");
  await screen(/status-9/);
});
