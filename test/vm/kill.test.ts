/**
 * kill -9 of the command, the supervisor or the machine, at random moments of everything that sbx does. After the next
 * command nothing may be left, and a sandbox that stands by must never notice. The moments follow a seed: set
 * SBX_TEST_SEED to repeat a run.
 */
import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, processesOf, untilClean } from "./support/leftovers.ts";
import { collect, type Outcome } from "./support/program.ts";
import { seededRandom, testSeed } from "./support/seeded-random.ts";
import { openTestHome } from "./support/test-home.ts";

type Victim = "command" | "supervisor" | "machine";
type Stage = "create" | "run" | "exec" | "upload" | "download" | "kill";

const STAGES: readonly Stage[] = ["create", "run", "exec", "upload", "download", "kill"];
const VICTIMS: readonly Victim[] = ["command", "supervisor", "machine"];
const ROUNDS = 2;
/** Longer than any of the stages takes when nobody disturbs it, but for the ones that go on until they are disturbed. */
const LATEST_MS = 700;

const seed = testSeed();
const random = seededRandom(seed);
const home = await openTestHome();
let bystander = "";
let ticks = "";

before(async () => {
  bystander = await home.create("--name", "bystander");
  await home.bash(
    bystander,
    "echo untouched > kept; (while :; do date +%s%N >> ticks; sleep 0.5; done) </dev/null >/dev/null 2>&1 &",
  );
  ticks = await home.bash(bystander, "cat /proc/sys/kernel/random/boot_id");
  await mkdir(home.scratch("tree"));
  for (let i = 0; i < 300; i += 1) await writeFile(home.scratch(`tree/${i}`), Buffer.alloc(40_000, i));
});
after(async () => home[Symbol.asyncDispose]());

for (const stage of STAGES) {
  for (const victim of VICTIMS) {
    test(`kill -9 of the ${victim} during ${stage} leaves nothing behind (seed ${seed})`, async () => {
      for (let round = 0; round < ROUNDS; round += 1) await strike(stage, victim, Math.floor(random() * LATEST_MS));
    });
  }
}

test("kill -9 in the middle of a large copy leaves only complete files once the next command has looked", async () => {
  const destination = home.scratch("large-copy");
  await mkdir(destination);
  const child = home.start(["copy", `${bystander}:/usr/lib`, `${destination}/`]);
  const ended = collect(child, "a large copy");
  await eventually(async () => assert.notDeepEqual(await readdir(path.join(destination, "lib")), []));
  child.kill("SIGKILL");
  assert.equal((await ended).status, 137);
  const left = (await readdir(destination)).filter((name) => name !== "lib");
  assert.match(left.join(" "), /^\.sbx-copy-\S+$/, "there is one thing to clean up");
  await home.must(["list", "--quiet"]);
  assert.deepEqual(await readdir(destination), ["lib"]);
  await untilClean(home, { alive: [bystander] });
});

test("the sandbox that stood by has not noticed anything", async () => {
  assert.equal(await home.bash(bystander, "cat kept"), "untouched");
  assert.equal(await home.bash(bystander, "cat /proc/sys/kernel/random/boot_id"), ticks);
  const info = await home.info(bystander);
  assert.deepEqual([info.status, info.reason], ["running", null]);
  await home.must(["kill", bystander]);
  await untilClean(home);
});

async function strike(stage: Stage, victim: Victim, delayMs: number): Promise<void> {
  const needsTarget = stage !== "create" && stage !== "run";
  const target = needsTarget ? await home.create("--label", "role=target") : "";
  const child = home.start(commandLine(stage, target));
  const ended = collect(child, stage);
  await sleep(delayMs);
  const { pid } = child;
  if (victim === "command") child.kill("SIGKILL");
  else await killOthers(victim);
  // A command that outlives its sandbox must say so, and must not hang.
  const outcome = await ended;
  check(stage, outcome);
  assert.ok(pid !== undefined);
  const [survivor] = (await home.list()).filter(({ id, status }) => id !== bystander && status === "running");
  if (survivor !== undefined) {
    // The strike came too early or too late, or killed only the command: then the sandbox must be in order.
    if (stage !== "kill" && survivor.expiresAt !== null) await home.sbx(["exec", survivor.id, "--", "true"]);
    await home.sbx(["kill", survivor.id]);
  }
  await untilClean(home, { alive: [bystander], look: async () => home.must(["list", "--quiet"]) });
  assert.equal(await home.must(["exec", bystander, "--", "cat", "kept"]), "untouched");
}

function commandLine(stage: Stage, target: string): string[] {
  switch (stage) {
    case "create":
      return ["create", "--detach", "--label", "role=target"];
    case "run":
      return ["run", "--label", "role=target", "--", "sleep", "1"];
    case "exec":
      return ["exec", target, "--", "bash", "-c", "for i in $(seq 200); do echo $i; sleep 0.005; done"];
    case "upload":
      return ["copy", home.scratch("tree"), `${target}:`];
    case "download":
      return ["copy", `${target}:/usr/include/linux`, home.scratch(`copy-of-${target}`)];
    case "kill":
      return ["kill", target];
  }
}

/** All supervisors, or machines, but the bystander's. */
async function killOthers(victim: Victim): Promise<void> {
  const spared = new Set((await processesOf([bystander])).map(({ pid }) => pid));
  for (const { pid, role } of await processesOf([home.path])) {
    const meant = victim === "supervisor" ? role === "supervisor" : role === "vm" || role === "jail";
    if (!meant || spared.has(pid)) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself meanwhile.
    }
  }
}

/** Whatever happened, the program tells it in its own words and with a status. */
function check(stage: Stage, { status, stderr }: Outcome): void {
  assert.ok(status >= 0 && status <= 255);
  assert.doesNotMatch(stderr, /\n\s+at .*:\d+:\d+\)?$/m, `${stage} shows no stack trace`);
  assert.doesNotMatch(stderr, /\binternal\b/i, `${stage} has an explanation`);
  if (![0, 137].includes(status)) assert.notEqual(stderr, "", `${stage} says why it ended with ${status}`);
}
