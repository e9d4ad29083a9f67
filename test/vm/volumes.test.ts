/**
 * Volumes and snapshots under real machines: what is written stays, whoever is killed at whatever moment, and nobody
 * holds what he has no right to.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { truncate } from "node:fs/promises";
import path from "node:path";
import { after, afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, leftoversOf, processesOf, untilClean } from "./support/leftovers.ts";
import { checkFileSystem } from "./support/disk-door.ts";
import { collect, type Outcome } from "./support/program.ts";
import { seededRandom, testSeed } from "./support/seeded-random.ts";
import { openTestHome } from "./support/test-home.ts";

interface VolumeJson {
  holders: { id: string; name: string; access: string; path: string | null }[];
  faults: string[];
}

const SMALL = ["--memory", "512MiB", "--cpus", "1"];
const seed = testSeed();
const random = seededRandom(seed);

const home = await openTestHome();
afterEach(async () => home.clear());
after(async () => home[Symbol.asyncDispose]());

async function inspect(volume: string): Promise<VolumeJson> {
  return JSON.parse(await home.must(["volume", "inspect", volume, "--json"])) as VolumeJson;
}

/** Only a volume that was made raw and never snapshotted is one file. */
function headOf(volume: string): string {
  const raw = readdirSync(home.paths.layersPath).filter((name) => name.endsWith(".raw"));
  assert.equal(raw.length, 1, `there is one layer, that of ${volume}`);
  return path.join(home.paths.layersPath, raw[0] ?? "");
}

function templatesOf(snapshotId: string): string[] {
  return readdirSync(home.paths.templatesPath).filter((key) =>
    readFileSync(path.join(home.paths.templatesPath, key, "template.json"), "utf8").includes(snapshotId),
  );
}

test("a volume holds in the next sandbox what the last one wrote, from the first command on", async () => {
  await home.must(["volume", "create", "data", "--capacity", "1GB"]);
  assert.equal(
    await home.must(["run", ...SMALL, "--volume", "data:/data", "--", "sh", "-c", "echo content > /data/file"]),
    "",
  );
  assert.equal(await home.must(["run", ...SMALL, "--volume", "data:/data:ro", "--", "cat", "/data/file"]), "content");
  assert.deepEqual((await inspect("data")).holders, []);
  checkFileSystem(headOf("data"));
  await home.must(["volume", "remove", "data"]);
});

test("one sandbox at a time writes to a volume; the next is told who has it, and gets it when that one is gone", async () => {
  await home.must(["volume", "create", "one", "--capacity", "100MB"]);
  const first = await home.create(...SMALL, "--name", "first", "--volume", "one:/data");
  const refused = await home.sbx(["create", "--detach", ...SMALL, "--volume", "one:/data:ro"]);
  assert.equal(refused.status, 125);
  assert.match(refused.stderr, /volume one is being used by first/);
  await untilClean(home, { alive: [first] });
  for (const { pid, role } of await processesOf([first])) if (role === "supervisor") process.kill(pid, "SIGKILL");
  await eventually(async () => assert.deepEqual((await inspect("one")).holders, []));
  await home.create(...SMALL, "--volume", "one:/data");
  await home.clear();
  await home.must(["volume", "remove", "one"]);
});

test("a sandbox whose volume cannot be mounted does not start, and leaves the volume free and untouched", async () => {
  await home.must(["volume", "create", "torn", "--capacity", "100MB"]);
  const [file = ""] = readdirSync(home.paths.layersPath)
    .map((name) => path.join(home.paths.layersPath, name))
    .filter((name) => name.endsWith(".raw") && statSync(name).size < 200_000_000)
    .toSorted((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  const { size } = statSync(file);
  await truncate(file, 0);
  await truncate(file, size);
  const outcome = await home.sbx(["create", "--detach", ...SMALL, "--volume", "torn:/data"]);
  assert.equal(outcome.status, 125, outcome.stderr);
  assert.match(outcome.stderr, /torn/);
  await untilClean(home);
  assert.deepEqual((await inspect("torn")).holders, []);
  await home.must(["volume", "remove", "torn"]);
});

test("a snapshot of a sandbox is what others start from, as fast as from an image, and what they write is their own", async () => {
  const box = await home.create(...SMALL, "--name", "box");
  await home.bash(box, "echo installed > ~/tool; sudo sh -c 'echo 1 > /etc/sbx-test'");
  await home.must(["snapshot", "create", "tools", "--from", "box"]);
  await home.bash(box, "echo changed > ~/tool");
  const first = await home.sbx(["create", "--detach", ...SMALL, "--root", "tools", "--name", "first"]);
  assert.equal(first.status, 0, first.stderr);
  const second = await home.sbx(["create", "--detach", ...SMALL, "--root", "tools", "--name", "second"]);
  assert.equal(second.status, 0, second.stderr);
  assert.doesNotMatch(second.stderr, /template|first time/, "the template is there already");
  await home.bash("first", "echo own > ~/tool");
  assert.equal(await home.bash("second", "cat ~/tool /etc/sbx-test"), "installed\n1");
  assert.equal(await home.bash("first", "cat ~/tool"), "own");
  assert.equal(await home.bash("box", "cat ~/tool"), "changed");
  // Of a snapshot's child, too.
  await home.must(["snapshot", "create", "tools2", "--from", "first"]);
  assert.equal(await home.must(["run", ...SMALL, "--root", "tools2", "--", "cat", "/home/app/tool"]), "own");
  // And what a snapshot was started with goes when it does.
  await home.clear();
  const { id } = JSON.parse(await home.must(["snapshot", "inspect", "tools2", "--json"])) as { id: string };
  assert.equal(templatesOf(id).length, 1);
  await home.must(["snapshot", "remove", "tools2"]);
  await home.must(["prune", "--yes"]);
  assert.deepEqual(templatesOf(id), []);
});

test("what is installed on a bootable volume stays, is snapshotted while it runs, and is in order at the end", async () => {
  await home.must(["volume", "create", "dev", "--from", "default", "--capacity", "12GB"]);
  assert.equal(
    await home.must([
      "run",
      ...SMALL,
      "--root",
      "dev",
      "--",
      "sh",
      "-c",
      "echo kept > ~/file; df --output=size -B1G / | tail -1 | tr -d ' '",
    ]),
    "11",
  );
  const dev = await home.create(...SMALL, "--root", "dev", "--name", "boxed");
  assert.equal(await home.bash(dev, "cat ~/file"), "kept");
  assert.match((await home.sbx(["create", "--detach", ...SMALL, "--root", "dev"])).stderr, /boxed/);
  await home.must(["snapshot", "create", "dev-1", "--from", "dev"]);
  await home.bash(dev, "echo later > ~/file");
  await home.must(["kill", dev]);
  assert.equal(await home.must(["run", ...SMALL, "--root", "dev", "--", "cat", "/home/app/file"]), "later");
  assert.equal(await home.must(["run", ...SMALL, "--root", "dev-1", "--", "cat", "/home/app/file"]), "kept");
});

test("what is fsynced on a bootable volume survives kill -9 of the machine and of the supervisor, and boots again", async () => {
  await home.must(["volume", "create", "hard", "--from", "default"]);
  for (const victim of ["machine", "supervisor"] as const) {
    const id = await home.create(...SMALL, "--root", "hard");
    await home.bash(id, `echo ${victim} > ~/${victim} && sync ~/${victim}; echo lost > ~/not-synced`);
    await killAllOf(victim);
    await eventually(async () => assert.deepEqual((await inspect("hard")).holders, []));
    await untilClean(home);
  }
  const left = await home.must([
    "run",
    ...SMALL,
    "--root",
    "hard",
    "--",
    "sh",
    "-c",
    "cat /home/app/machine /home/app/supervisor",
  ]);
  assert.equal(left, "machine\nsupervisor");
});

test("a volume is attached to a running sandbox, grown and snapshotted there, and taken away when nobody uses it", async () => {
  await home.must(["volume", "create", "live", "--capacity", "64MB"]);
  const box = await home.create(...SMALL, "--name", "live-box");
  await home.must(["volume", "attach", "live", "live-box", "/srv/live"]);
  assert.deepEqual(
    (await inspect("live")).holders.map(({ id, path: at }) => [id, at]),
    [[box, "/srv/live"]],
  );
  await home.bash(box, "echo one > /srv/live/file");
  await home.must(["volume", "snapshot", "live", "live-1"]);
  await home.must(["volume", "resize", "live", "1GB"]);
  await home.bash(box, "head -c 300M /dev/zero > /srv/live/big; echo two > /srv/live/file");
  await home.bash(box, "(cd /srv/live && exec sleep 1000) </dev/null >/dev/null 2>&1 & sleep 0.3");
  const busy = await home.sbx(["volume", "detach", "live", "live-box"]);
  assert.notEqual(busy.status, 0);
  assert.match(busy.stderr, /in use by sleep \(\d+\)/);
  await home.bash(box, "pkill sleep; while pgrep -x sleep; do sleep 0.1; done");
  await home.must(["volume", "detach", "live", "live-box"]);
  assert.deepEqual((await inspect("live")).holders, []);
  const line = "cat /new/file /old/file; stat -c %s /new/big";
  const other = await home.create(...SMALL, "--volume", "live:/new");
  await home.must(["volume", "create", "before", "--from", "live-1"]);
  await home.must(["volume", "attach", "before", other, "/old"]);
  assert.equal(await home.bash(other, line), "two\none\n314572800");
});

type Victim = "command" | "supervisor" | "machine";
type Stage = "create" | "attach" | "detach" | "snapshot" | "root-snapshot" | "kill";

const STAGES: readonly Stage[] = ["create", "attach", "detach", "snapshot", "root-snapshot", "kill"];
const VICTIMS: readonly Victim[] = ["command", "supervisor", "machine"];
const LATEST_MS = 600;

for (const stage of STAGES) {
  for (const victim of VICTIMS) {
    test(`kill -9 of the ${victim} during ${stage} costs no volume anything (seed ${seed})`, async () => {
      await strike(stage, victim, Math.floor(random() * LATEST_MS));
    });
  }
}

let struck = 0;

async function strike(stage: Stage, victim: Victim, delayMs: number): Promise<void> {
  struck += 1;
  const volume = `struck-${struck}`;
  await home.must(["volume", "create", volume, "--capacity", "100MB"]);
  await home.must(["run", ...SMALL, "--volume", `${volume}:/v`, "--", "sh", "-c", "seq 20000 > /v/kept; sync"]);
  const target =
    stage === "create" ? "" : await home.create(...SMALL, ...(stage === "attach" ? [] : ["--volume", `${volume}:/v`]));
  const child = home.start(commandLine(stage, volume, target));
  const ended = collect(child, stage);
  await sleep(delayMs);
  if (victim === "command") child.kill("SIGKILL");
  else await killAllOf(victim);
  check(stage, await ended);
  // What lives on is in order, and lets go of the volume.
  for (const { id, status } of await home.list()) if (status === "running") await home.must(["kill", id]);
  await eventually(async () => assert.deepEqual((await inspect(volume)).holders, []));
  await untilClean(home, { look: async () => home.must(["list", "--quiet"]) });
  assert.deepEqual((await inspect(volume)).faults, []);
  const sum = await home.must([
    "run",
    ...SMALL,
    "--volume",
    `${volume}:/v`,
    "--",
    "sh",
    "-c",
    "cksum < /v/kept; touch /v/more",
  ]);
  assert.equal(sum, CHECKSUM_OF_20000);
  await settled(volume);
}

/** `seq 20000 | cksum` */
const CHECKSUM_OF_20000 = execFileSync("sh", ["-c", "seq 20000 | cksum"]).toString().trim();

function commandLine(stage: Stage, volume: string, target: string): string[] {
  switch (stage) {
    case "create":
      return ["create", "--detach", ...SMALL, "--volume", `${volume}:/v`];
    case "attach":
      return ["volume", "attach", volume, target, "/v"];
    case "detach":
      return ["volume", "detach", volume, target];
    case "snapshot":
      return ["volume", "snapshot", volume, `${volume}-s`];
    case "root-snapshot":
      return ["snapshot", "create", `${volume}-r`, "--from", target];
    case "kill":
      return ["kill", target];
  }
}

async function killAllOf(victim: "supervisor" | "machine"): Promise<void> {
  for (const { pid, role } of await processesOf([home.path])) {
    if (victim === "supervisor" ? role !== "supervisor" : role !== "vm" && role !== "jail") continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself meanwhile.
    }
  }
}

function check(stage: Stage, { status, stderr }: Outcome): void {
  assert.doesNotMatch(stderr, /\n\s+at .*:\d+:\d+\)?$/m, `${stage} shows no stack trace`);
  if (![0, 137].includes(status)) assert.notEqual(stderr, "", `${stage} says why it ended with ${status}`);
}

/** Everything of a volume goes, and with it every file that was made on its account. */
async function settled(volume: string): Promise<void> {
  for (const name of [`${volume}-s`, `${volume}-r`]) await home.sbx(["snapshot", "remove", name]);
  await home.must(["volume", "remove", volume]);
  await home.must(["prune", "--volumes", "--yes"]);
  assert.deepEqual(await leftoversOf(home), []);
}
