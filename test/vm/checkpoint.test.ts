/** Machines that are kept: they go on when their source is long gone, and what is damaged is named and used by nobody. */
import assert from "node:assert/strict";
import { appendFile, mkdir, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { after, afterEach, test } from "node:test";
import { eventually, untilClean } from "./support/leftovers.ts";
import { runHost } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const SMALL = ["--memory", "512MiB", "--cpus", "1"];

const home = await openTestHome();
const checkpoints = path.join(home.paths.dataPath, "checkpoints");
afterEach(async () => home.clear());
after(async () => home[Symbol.asyncDispose]());

/** A sandbox with a number in its memory that grows, and one on its disk that does not. */
async function createCounting(): Promise<string> {
  const id = await home.create(...SMALL, "--name", "source");
  await home.bash(
    id,
    "echo kept > /home/app/file; sync; nohup bash -c 'i=0; while :; do i=$((i+1)); echo $i > /dev/shm/n.new; " +
      "mv /dev/shm/n.new /dev/shm/n; sleep 0.02; done' </dev/null >/dev/null 2>&1 & until [ -s /dev/shm/n ]; do sleep 0.01; done",
  );
  return id;
}

test("a checkpoint goes on when its source is gone, as often as wanted, and outlives nothing that it was asked to", async () => {
  const source = await createCounting();
  const id = await home.must(["checkpoint", "create", "source", "warm", "--quiet"]);
  const saved = Number(await home.bash(source, "cat /dev/shm/n"));
  await home.must(["kill", source]);
  await untilClean(home, { look: async () => home.sbx(["list"]) });
  const [listed] = JSON.parse(await home.must(["checkpoint", "list", "--json"])) as Record<string, unknown>[];
  assert.deepEqual([listed?.id, listed?.name, listed?.memoryBytes], [id, "warm", 512 * 1024 ** 2]);
  assert.deepEqual(listed?.source, { id: source, name: "source" });
  // The guest's memory is in it: for this account alone.
  for (const directory of [checkpoints, path.join(checkpoints, id)]) {
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
  }
  for (let times = 0; times < 2; times++) {
    const copy = await home.create("--checkpoint", "warm");
    const count = Number(await home.bash(copy, "cat /dev/shm/n"));
    assert.ok(count <= saved + 200, `it goes on from the checkpoint: ${count}, saved by ${saved}`);
    assert.equal(
      await home.bash(copy, "cat /home/app/file; rm /home/app/file; sync; ls /home/app/file 2>&1 | wc -l"),
      "kept\n1",
    );
    await eventually(async () => assert.ok(Number(await home.bash(copy, "cat /dev/shm/n")) > count));
    if (times === 0) await home.must(["kill", copy]);
    else {
      await home.must(["checkpoint", "remove", "warm"]);
      assert.deepEqual(await readdir(checkpoints), []);
      assert.equal(await home.bash(copy, "cat /etc/debian_version > /dev/null; echo well"), "well");
      // Its memory file has no name any more, and it can be copied all the same.
      const again = await home.must(["fork", copy, "--quiet"]);
      assert.equal(await home.bash(again, "echo well"), "well");
    }
  }
});

test("a command in a sandbox from a checkpoint ends as it does in any other, and the sandbox with it", async () => {
  await createCounting();
  await home.must(["checkpoint", "create", "source", "session"]);
  const outcome = await home.sbx([
    "create",
    "--checkpoint",
    "session",
    "--env",
    "A=b",
    "--",
    "bash",
    "-c",
    "echo $A; hostname; exit 7",
  ]);
  assert.equal(outcome.status, 7);
  assert.match(outcome.stdout, /^b\nsbx-[0-9a-z]{8}\n$/);
  for (const [args, says] of [
    [["--checkpoint", "cold"], /there is no checkpoint "cold"/],
    [["--checkpoint", "session", "--image", "default"], /--image=default cannot also be provided|cannot/],
    [["--checkpoint", "session", "--allow-net", "example.com"], /cannot be given rules for its network/],
  ] as const) {
    const refused = await home.sbx(["create", "--detach", ...args]);
    assert.notEqual(refused.status, 0);
    assert.match(refused.stderr, says);
  }
  const taken = await home.sbx(["checkpoint", "create", "source", "session"]);
  assert.match(taken.stderr, /there is a checkpoint session already/);
  const wrong = await home.sbx(["checkpoint", "create", "source", "Not A Name"]);
  assert.equal(wrong.status, 2);
  await home.must(["checkpoint", "remove", "session"]);
});

test("a damaged checkpoint is named and not used, and others are", async () => {
  await createCounting();
  const damaged = await home.must(["checkpoint", "create", "source", "damaged", "--quiet"]);
  await home.must(["checkpoint", "create", "source", "sound"]);
  await appendFile(path.join(checkpoints, damaged, "state"), "x");
  const { status, stderr } = await home.sbx(["create", "--detach", "--checkpoint", "damaged"]);
  assert.equal(status, 125);
  assert.match(stderr, /checkpoint damaged cannot be used: .*state was changed after it was saved/);
  assert.match(await home.must(["checkpoint", "inspect", "damaged"]), /Damaged .*state was changed/);
  const copy = await home.create("--checkpoint", "sound");
  assert.equal(await home.bash(copy, "cat /home/app/file"), "kept");
  await home.must(["checkpoint", "remove", "damaged", "sound"]);
});

test("a checkpoint that does not fit on the disk leaves nothing, and the source goes on", async () => {
  const source = await createCounting();
  await mkdir(checkpoints, { recursive: true, mode: 0o700 });
  const mount = ["mount", "-t", "tmpfs", "-o", "size=20m,mode=700", "sbx-test", checkpoints] as const;
  const sudo = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  assert.equal((await runHost([...sudo, ...mount] as unknown as [string, ...string[]])).status, 0);
  try {
    const { status, stderr } = await home.sbx(["checkpoint", "create", source, "large"]);
    assert.equal(status, 1);
    assert.match(stderr, /there is no room for the machine's memory/);
    assert.deepEqual(await readdir(checkpoints), []);
    assert.equal(await home.must(["checkpoint", "list", "--quiet"]), "");
    const count = Number(await home.bash(source, "cat /dev/shm/n"));
    await eventually(async () => assert.ok(Number(await home.bash(source, "cat /dev/shm/n")) > count));
  } finally {
    await runHost([...sudo, "umount", "-l", checkpoints] as unknown as [string, ...string[]]);
  }
  await home.must(["checkpoint", "create", source, "large"]);
  await home.must(["checkpoint", "remove", "large"]);
});
