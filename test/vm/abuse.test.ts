/** Guests that do their worst: to themselves as they like, but never to the host, and what happened is told. */
import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, processesOf, untilClean } from "./support/leftovers.ts";
import { openTestHome } from "./support/test-home.ts";

/** Templates of small guests take longer to be there, but their memory is full sooner. */
const SMALL = ["--memory", "512MiB", "--cpus", "1"];
/** How long a fork bomb may go on before it is looked at, `ms`. */
const BURN_MS = 3000;

const home = await openTestHome();
afterEach(async () => home.clear());
after(async () => home[Symbol.asyncDispose]());

/** The kernel has more or fewer workers as it likes. */
const COUNT_PROCESSES = "ps --ppid 2 -p 2 --deselect | wc -l";

/** Runs a line of shell as root in the guest. */
async function rootShell(id: string, line: string): ReturnType<typeof home.sbx> {
  return home.sbx(["exec", "--user", "root", id, "--", "sh", "-c", line]);
}

test("a fork bomb hurts nobody but its own sandbox, where further commands still run, and which can be killed", async () => {
  const [id, neighbour] = await Promise.all([home.create(), home.create()]);
  const bomb = home.start(["exec", "--no-stdin", id, "--", "bash", "-c", "echo lit; :(){ :|:& };: ; sleep 1000"]);
  await new Promise((resolve) => bomb.stdout.once("data", resolve));
  const before = await home.bash(neighbour, COUNT_PROCESSES);
  await sleep(BURN_MS);
  assert.equal(await home.bash(neighbour, COUNT_PROCESSES), before);
  assert.equal((await home.info(id)).status, "running");
  assert.equal(await home.must(["exec", id, "--", "echo", "alive"]), "alive");
  assert.equal(await home.must(["exec", "--user", "root", id, "--", "echo", "alive"]), "alive");
  const machine = (await processesOf([id])).filter(({ pid }) => pid !== bomb.pid);
  assert.equal(machine.length, 4, "on the host it is still the same four processes");
  await home.must(["kill", id]);
  assert.equal((await home.info(id)).reason, "killed");
  bomb.kill("SIGKILL");
  await home.must(["kill", neighbour]);
  await untilClean(home);
});

test("a command that takes all memory is killed with status 137, which is said, and the sandbox lives on", async () => {
  const id = await home.create(...SMALL);
  const hog = "import mmap\nkeep=[]\nwhile True: keep.append(bytearray(b'x')*(32<<20))";
  const outcome = await home.sbx(["exec", id, "--", "python3", "-c", hog]);
  assert.equal(outcome.status, 137);
  assert.match(outcome.stderr, /ran out of memory/);
  assert.equal(await home.must(["exec", id, "--", "echo", "alive"]), "alive");
  await home.must(["kill", id]);
  await untilClean(home);
});

test("a full disk in the guest is the guest's error alone", async () => {
  const id = await home.create();
  const outcome = await rootShell(
    id,
    "fallocate -l 9G /var/a; fallocate -l 3G /var/b; cat /dev/zero | head -c 2000000000 > /var/c",
  );
  assert.notEqual(outcome.status, 0);
  assert.match(outcome.stderr, /No space left on device/);
  assert.equal(await home.must(["exec", id, "--", "echo", "alive"]), "alive");
  assert.equal((await home.sbx(["copy", import.meta.filename, `${id}:/home/app/`])).status, 1);
  await home.must(["exec", "--user", "root", id, "--", "sh", "-c", "rm -f /var/a /var/b /var/c"]);
  assert.equal((await home.sbx(["copy", import.meta.filename, `${id}:/home/app/`])).status, 0);
  await home.must(["kill", id]);
  await untilClean(home);
});

test("the agent cannot be killed, stopped or spoken over by root in the guest", async () => {
  const id = await home.create();
  assert.match(
    await home.bash(id, "grep SigIgn /proc/self/status"),
    /0000000000000000$/,
    "what it survives is not passed on",
  );
  await home.bash(id, "for signal in 9 19 15 11 8 7 6 4 3 2 1 31; do sudo kill -$signal 1; done");
  await home.bash(
    id,
    'for port in /dev/vport*; do sudo timeout 2 sh -c "echo nonsense > $port" 2>/dev/null; done; sudo pkill -9 sbx || true',
  );
  assert.equal(await home.must(["exec", id, "--", "echo", "alive"]), "alive");
  await home.must(["kill", id]);
  await untilClean(home);
});

test("a guest whose kernel panics is reported as crashed, with its console kept", async () => {
  const id = await home.create();
  const outcome = await rootShell(id, "echo c > /proc/sysrq-trigger; sleep 100");
  assert.notEqual(outcome.status, 0);
  assert.match(outcome.stderr, /stopped while the command was running/);
  await eventually(async () => assert.equal((await home.info(id)).status, "stopped"));
  const info = await home.info(id);
  assert.equal(info.reason, "crashed");
  assert.match(info.detail ?? "", /panic/);
  assert.match(await home.must(["logs", id]), /Kernel panic/);
  await untilClean(home);
});

test("root who takes memory with the oom killer held off is stopped all the same", async () => {
  const id = await home.create(...SMALL);
  const hog =
    "open('/proc/self/oom_score_adj','w').write('-1000')\nkeep=[]\nwhile True: keep.append(bytearray(b'x')*(16<<20))";
  const outcome = await home.sbx(["exec", "--user", "root", "--timeout", "1m", id, "--", "python3", "-c", hog]);
  assert.notEqual(outcome.status, 0);
  const info = await home.info(id);
  if (info.status === "running") assert.equal(await home.must(["exec", id, "--", "echo", "alive"]), "alive");
  else assert.equal(info.reason, "out_of_memory");
  await home.must(["kill", id]);
  await untilClean(home);
});

test("escapes in what a guest writes to its console do not come out of sbx logs", async () => {
  const id = await home.create();
  await home.bash(
    id,
    "printf 'mark \\033]0;title\\007\\033[2J\\r\\302\\233 end\\n' | sudo tee /dev/console >/dev/null",
  );
  await eventually(async () => assert.match(await home.must(["logs", id]), /mark/));
  for (const args of [["logs", id], ["list"], ["inspect", id]]) {
    const { bytes, stderr } = await home.sbx(args);
    assert.doesNotMatch(bytes.toString() + stderr, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/, args.join(" "));
  }
  await home.must(["kill", id]);
});

test("a console that is written to without end neither stalls the guest nor fills the host", async () => {
  const id = await home.create();
  await home.bash(
    id,
    "yes 'flooding the console of this machine' | head -c 6000000 | sudo timeout 60 tee /dev/console >/dev/null || true",
  );
  assert.equal(await home.must(["exec", id, "--", "echo", "alive"]), "alive");
  assert.ok((await home.must(["logs", id])).length < 4_000_000);
  await home.must(["kill", id]);
  await untilClean(home);
});
