/** Making sandboxes: many at once, interrupted at any moment, and the first one on a machine that has no template. */
import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { leftoversOf, untilClean } from "./support/leftovers.ts";
import { collect } from "./support/program.ts";
import { seededRandom, testSeed } from "./support/seeded-random.ts";
import { openTestHome, type TestHome } from "./support/test-home.ts";

const INTERRUPTED = 130;
/** The smallest guest: templates of it are made quickest. */
const SMALL = ["--memory", "512MiB", "--cpus", "1"];

const seed = testSeed();
const random = seededRandom(seed);
const home = await openTestHome();
const bare = await openTestHome({ templates: "none" });
afterEach(async () => Promise.all([home.clear(), bare.clear()]));
after(async () => {
  await home[Symbol.asyncDispose]();
  await bare[Symbol.asyncDispose]();
});

async function interruptCreate(
  target: TestHome,
  args: string[],
  delayMs: number,
): Promise<{ status: number; stdout: string; stderr: string }> {
  const child = target.start(["create", "--detach", ...args]);
  const ended = collect(child, "create that is interrupted");
  await sleep(delayMs);
  child.kill("SIGINT");
  return ended;
}

test("ten creates at once give ten sandboxes that know nothing of each other", async () => {
  const ids = await Promise.all(Array.from({ length: 10 }, async (_, i) => home.create("--name", `ten-${i}`)));
  assert.equal(new Set(ids).size, 10);
  await Promise.all(ids.map(async (id, i) => home.bash(id, `echo ${i} > /app/mine`)));
  const seen = await Promise.all(ids.map(async (id) => home.bash(id, "hostname; cat /app/mine")));
  assert.deepEqual(
    seen,
    ids.map((_, i) => `ten-${i}\n${i}`),
  );
  assert.equal((await home.list()).filter(({ status }) => status === "running").length, 10);
  await home.must(["kill", "--all", "--yes"]);
  await untilClean(home);
});

test("of several creates with one name exactly one succeeds", async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 4 }, async () => home.sbx(["create", "--detach", "--name", "only"])),
  );
  assert.deepEqual(
    outcomes.map(({ status }) => status).sort((a, b) => a - b),
    [0, 125, 125, 125],
  );
  await home.must(["kill", "only"]);
  await untilClean(home);
});

test(`Ctrl-C at any moment of create leaves nothing, and status 130 (seed ${seed})`, async () => {
  const begun = performance.now();
  await home.create();
  const whole = performance.now() - begun;
  await home.must(["kill", "--all", "--yes"]);
  let interrupted = 0;
  for (let round = 0; round < 8; round += 1) {
    // Each round has an eighth of the way of its own, so that some are early on any machine.
    const moment = 60 + (whole - 60) * ((round + random()) / 8);
    const { status, stdout, stderr } = await interruptCreate(home, [], Math.floor(moment));
    assert.doesNotMatch(stderr, /\n\s+at /);
    // Before the program listens, the signal ends it as any other; after the id is out, the sandbox is the user's.
    assert.ok([0, INTERRUPTED].includes(status), `status ${status}: ${stderr}`);
    if (stdout !== "") await home.must(["kill", "--all", "--yes"]);
    else if (status === INTERRUPTED) interrupted += 1;
    await untilClean(home);
  }
  assert.ok(interrupted > 0, "no round was early enough");
});

test(`Ctrl-C while the first template is made leaves nothing half made (seed ${seed})`, async () => {
  for (let round = 0; round < 4; round += 1) {
    const { status, stderr } = await interruptCreate(bare, SMALL, Math.floor(400 + random() * 1500));
    assert.equal(status, INTERRUPTED, stderr);
    await untilClean(bare);
  }
});

test("kill -9 while the first template is made leaves nothing after the next command", async () => {
  for (let round = 0; round < 3; round += 1) {
    const child = bare.start(["create", "--detach", ...SMALL]);
    const ended = collect(child, "create that is killed");
    await sleep(Math.floor(500 + random() * 1500));
    child.kill("SIGKILL");
    await ended;
    await untilClean(bare, { look: async () => bare.must(["list"]) });
  }
});

test("creates at once on a machine without a template make one and share it", async () => {
  const ids = await Promise.all(Array.from({ length: 3 }, async () => bare.create(...SMALL)));
  const seen = await Promise.all(ids.map(async (id) => bare.bash(id, "nproc")));
  assert.deepEqual(seen, ["1", "1", "1"]);
  await bare.must(["kill", ...ids]);
  await untilClean(bare);
  assert.deepEqual(await leftoversOf(bare), []);
});
