/** A paused sandbox stands still and is otherwise a sandbox like any other: it is listed, it ends, it goes on. */
import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, untilClean } from "./support/leftovers.ts";
import { openTestHome } from "./support/test-home.ts";

const SMALL = ["--memory", "512MiB", "--cpus", "1"];

const home = await openTestHome();
afterEach(async () => home.clear());
after(async () => home[Symbol.asyncDispose]());

async function startCounting(id: string): Promise<void> {
  await home.bash(
    id,
    "nohup bash -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/n.new; mv /tmp/n.new /tmp/n; sleep 0.02; done' " +
      "</dev/null >/dev/null 2>&1 & until [ -s /tmp/n ]; do sleep 0.01; done",
  );
}

async function countOf(id: string): Promise<number> {
  return Number(await home.bash(id, "cat /tmp/n"));
}

test("nothing runs while a sandbox is paused; then it goes on with the right time", async () => {
  const id = await home.create(...SMALL, "--name", "web");
  await startCounting(id);
  const before = await countOf(id);
  assert.equal(await home.must(["pause", "web"]), id);
  assert.equal((await home.info(id)).status, "paused");
  assert.match(await home.must(["list"]), /web +\S+ +\S+ +paused/);
  await sleep(2000);
  assert.equal(await home.must(["pause", "web"]), id, "repeating it changes nothing");
  await home.must(["resume", "web"]);
  assert.equal((await home.info(id)).status, "running");
  const after = await countOf(id);
  assert.ok(after >= before && after < before + 100, `it counted from ${before} to ${after}`);
  await eventually(async () => assert.ok((await countOf(id)) > after, "it counts on"));
  await eventually(async () => {
    const guest = Number(await home.bash(id, "date +%s%3N"));
    assert.ok(Math.abs(guest - Date.now()) < 1500, "its clock is right");
  });
  assert.equal(await home.must(["resume", "web"]), id, "one that runs is left as it is");
});

test("what needs it to run says that it is paused, and what would end that", async () => {
  const id = await home.create(...SMALL, "--name", "web");
  await home.must(["pause", id]);
  for (const args of [
    ["exec", "web", "--", "true"],
    ["copy", "web:/etc/hostname", home.scratch("hostname")],
    ["fork", "web"],
    ["checkpoint", "create", "web", "never"],
  ]) {
    const { status, stderr } = await home.sbx(args);
    assert.notEqual(status, 0, args.join(" "));
    assert.match(stderr, /sandbox web is paused/, args.join(" "));
    assert.match(stderr, /try: sbx resume web/, args.join(" "));
  }
  const { status, stderr } = await home.sbx(["pause", "nobody"]);
  assert.equal(status, 1);
  assert.match(stderr, /there is no sandbox "nobody"/);
});

test("its lifetime goes on: it is extended, expires, or is killed, and leaves nothing", async () => {
  const expiring = await home.create(...SMALL, "--timeout", "6s");
  const killed = await home.create(...SMALL);
  await home.must(["pause", expiring, killed]);
  await home.must(["extend", killed, "2h"]);
  assert.ok(((await home.info(killed)).expiresAt ?? 0) > Date.now() + 3_600_000);
  await home.must(["kill", killed]);
  await eventually(async () => assert.equal((await home.info(expiring)).reason, "expired"));
  assert.equal((await home.info(killed)).reason, "killed");
  await untilClean(home);
});
