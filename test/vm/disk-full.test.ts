/** A host whose disk is full: refused before the start, paused and resumed while running, never half done. Mounts. */
import assert from "node:assert/strict";
import { copyFile, mkdir, rm } from "node:fs/promises";
import { after, afterEach, test } from "node:test";
import { fetchInfo } from "../../src/runtime/local/supervisor-client.ts";
import { eventually, processesOf, untilClean } from "./support/leftovers.ts";
import { collect, runHost } from "./support/program.ts";
import { openTestHome, prepared, type TestHome } from "./support/test-home.ts";

const SMALL = ["--memory", "512MiB", "--cpus", "1"];
const homes: TestHome[] = [];

afterEach(async () => {
  for (const home of homes.splice(0)) {
    await home.clear();
    await onHost("umount", "-l", home.paths.statePath).catch(() => undefined); // where the test mounted nothing there
    await onHost("umount", "-l", home.paths.templatesPath).catch(() => undefined);
    await onHost("umount", "-l", home.paths.layersPath).catch(() => undefined);
    await home[Symbol.asyncDispose]();
  }
});
after(() => assert.equal(homes.length, 0));

/** Mounting is root's; an ordinary user needs sudo without a password for this file. */
async function onHost(...argv: [string, ...string[]]): Promise<void> {
  const command: [string, ...string[]] = process.getuid?.() === 0 ? argv : ["sudo", "-n", ...argv];
  const { status, stderr } = await runHost(command);
  if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
}

async function mountSmall(directory: string, size: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const owner = `uid=${process.getuid?.() ?? 0},gid=${process.getgid?.() ?? 0}`;
  await onHost("mount", "-t", "tmpfs", "-o", `size=${size},mode=700,${owner}`, "sbx-test", directory);
}

async function homeOn(what: "statePath" | "templatesPath" | "layersPath", size: string): Promise<TestHome> {
  const home = await openTestHome(what === "templatesPath" ? { templates: "none" } : { verdict: "none" });
  homes.push(home);
  await mountSmall(home.paths[what], size);
  // The mount hides what the home was given.
  if (what === "statePath") await copyFile(prepared.verdictPath, home.paths.verdictPath);
  return home;
}

test("a sandbox that has no room to start is refused, with what is there and what is needed", async () => {
  const home = await homeOn("statePath", "100m");
  const outcome = await home.sbx(["create", "--detach", "--json"]);
  assert.equal(outcome.status, 125);
  assert.match(outcome.stderr, /disk_full/);
  assert.match(outcome.stderr, /has \d+ MiB of free space; a sandbox needs 256 MiB/);
  await untilClean(home);
});

test("a template that does not fit leaves nothing, and says that the disk is full", async () => {
  const home = await homeOn("templatesPath", "60m");
  const outcome = await home.sbx(["create", "--detach", ...SMALL]);
  assert.equal(outcome.status, 125);
  assert.match(outcome.stderr, /the disk of .* is full|no space left/i);
  assert.doesNotMatch(outcome.stderr, /\n\s+at /);
  await untilClean(home);
  await onHost("mount", "-o", "remount,size=2g", home.paths.templatesPath);
  assert.equal(await home.must(["run", ...SMALL, "--", "echo", "works"]), "works");
});

test("a guest that fills the host's disk stands still, says so, and goes on when there is room", async () => {
  const home = await homeOn("statePath", "320m");
  const id = await home.create("--name", "greedy");
  const repeat = "for i in $(seq 340); do cat block; done";
  const line = `head -c 1000000 /dev/urandom > block; ${repeat} > big; sync; ${repeat} | cmp - big && echo complete`;
  const writer = home.start(["exec", "--no-stdin", id, "--", "sh", "-c", line]);
  const ended = collect(writer, "a writer on a full disk", { deadlineMs: 240_000 });
  await eventually(async () => {
    // Its log is on the full disk as well; the supervisor itself knows.
    const { detail } = await fetchInfo(`${home.paths.socketsPath}/${id}.sock`, 5000);
    assert.match(detail ?? "", /paused: the host's disk is full/);
  }, 120_000);
  assert.equal((await home.info(id)).status, "running");
  const { length } = await processesOf([id]);
  assert.ok(length > 0, "it is not taken down");
  await onHost("mount", "-o", "remount,size=3g", home.paths.statePath);
  const outcome = await ended;
  assert.equal(outcome.status, 0, outcome.stderr);
  assert.equal(outcome.stdout, "complete\n", "not one byte was lost");
  await home.must(["kill", id]);
  await untilClean(home);
});

test("a guest that fills the disk that its volume lies on stands still, and goes on when there is room, with nothing lost", async () => {
  const home = await homeOn("layersPath", "200m");
  await home.must(["volume", "create", "big", "--capacity", "1GB"]);
  const id = await home.create(...SMALL, "--volume", "big:/big");
  const line =
    "head -c 1000000 /dev/urandom > block; for i in $(seq 300); do cat block; done > /big/file && sync && cksum < /big/file; for i in $(seq 300); do cat block; done | cksum";
  const writer = home.start(["exec", "--no-stdin", id, "--", "sh", "-c", line]);
  const ended = collect(writer, "a writer on a full disk", { deadlineMs: 240_000 });
  await eventually(async () => {
    const { detail } = await fetchInfo(`${home.paths.socketsPath}/${id}.sock`, 5000);
    assert.match(detail ?? "", /paused: the host's disk is full/);
  }, 120_000);
  await onHost("mount", "-o", "remount,size=1g", home.paths.layersPath);
  const outcome = await ended;
  assert.equal(outcome.status, 0, outcome.stderr);
  const [written, expected] = outcome.stdout.trim().split("\n");
  assert.equal(written, expected);
  await home.must(["kill", id]);
  await untilClean(home);
});

test("commands that only look, and kill, work on a full disk", async () => {
  const home = await homeOn("statePath", "400m");
  const id = await home.create();
  await runHost(["sh", "-c", `cat /dev/zero > "${home.paths.statePath}/filler"`]);
  const listed = await home.sbx(["list"]);
  assert.equal(listed.status, 0, listed.stderr);
  assert.equal((await home.sbx(["exec", id, "--", "echo", "alive"])).stdout, "alive\n");
  assert.equal((await home.sbx(["kill", id])).status, 0);
  await rm(`${home.paths.statePath}/filler`);
  await untilClean(home, { look: async () => home.must(["list"]) });
});
