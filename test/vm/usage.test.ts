/** What real machines use is metered as the kernel accounts it, once, whatever is killed; and a budget ends one. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { after, test } from "node:test";
import { processTree } from "../../src/host/process-tree.ts";
import { eventually } from "./support/leftovers.ts";
import { openTestHome } from "./support/test-home.ts";

const SMALL = ["--memory", "512MiB", "--cpus", "2"];
/** What two readings may differ by. */
const TOLERANCE = 0.02;
/** How much a supervisor that is killed may not have written down, `ms` of its 2 s; the guest is idle by then. */
const LAST_SAMPLE_MS = 2_500;
/** So much work, and not so much time: on a busy host the time may give little of it. */
const BURN = "for i in 1 2; do python3 -c 'for _ in range(6_000_000): pass' & done; wait";
/** What an idle guest may use between the two readings, `ms`. */
const IDLE_MS = 150;

const home = await openTestHome();
after(async () => home[Symbol.asyncDispose]());

interface Group {
  key: string | null;
  amounts: { cpuMs: number; memoryByteHours: number; storageByteHours: number };
}

async function usage(...args: string[]): Promise<{ groups: Group[]; total: Group }> {
  return JSON.parse(await home.must(["usage", "--json", ...args])) as { groups: Group[]; total: Group };
}

async function usedBy(name: string): Promise<Group["amounts"]> {
  const { groups } = await usage();
  const [group, ...more] = groups.filter(({ key }) => key === name);
  assert.ok(group && more.length === 0, `${name} in ${JSON.stringify(groups)}`);
  return group.amounts;
}

/** Processor time of a machine's processes, as the kernel accounts it, `ms`. */
async function accounted(id: string): Promise<number> {
  const { vmPid } = await home.info(id);
  assert.ok(vmPid !== null);
  const times = processTree([vmPid]).map((pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  });
  return times.reduce((sum, time) => sum + time, 0);
}

function assertClose(metered: number, kernel: number): void {
  assert.ok(Math.abs(metered - kernel) <= kernel * TOLERANCE + IDLE_MS, `${metered} ms were metered of ${kernel}`);
}

test("a sandbox that is ended has been metered as the kernel accounts it, with its memory and its label", async () => {
  const began = Date.now();
  const id = await home.create(...SMALL, "--name", "burner", "--label", "team=demo");
  await home.bash(id, BURN);
  const kernel = await accounted(id);
  await home.must(["kill", id]);
  const seconds = (Date.now() - began) / 1000;
  const { cpuMs, memoryByteHours } = await usedBy("burner");
  assert.ok(kernel > 1000, `${kernel} ms`);
  assertClose(cpuMs, kernel);
  const given = (memoryByteHours * 3600) / (512 * 1024 ** 2);
  assert.ok(given > 1 && given < seconds, `${given} of ${seconds} s`);
  const { groups } = await usage("--by", "label:team");
  assert.equal(groups.find(({ key }) => key === "demo")?.amounts.cpuMs, cpuMs);
});

test("kill -9 of a supervisor loses nothing that was used before the last two seconds, and counts nothing twice", async () => {
  const id = await home.create(...SMALL, "--name", "lost");
  await home.bash(id, BURN);
  await sleep(LAST_SAMPLE_MS);
  const kernel = await accounted(id);
  const { supervisorPid } = await home.info(id);
  process.kill(supervisorPid ?? 0, "SIGKILL");
  await eventually(async () => assert.equal((await home.info(id)).status, "stopped"));
  const { cpuMs, memoryByteHours } = await usedBy("lost");
  assertClose(cpuMs, kernel);
  assert.deepEqual(await usedBy("lost"), { ...(await usedBy("lost")), cpuMs, memoryByteHours });
});

test("a sandbox that has used up its processor time is ended, and says so", async () => {
  const id = await home.create(...SMALL, "--name", "spender", "--max-cpu-time", "3s");
  const { status, stderr } = await home.sbx(["exec", id, "--", "sh", "-c", "while :; do :; done"]);
  assert.notEqual(status, 0);
  assert.match(stderr, /budget used up: it has used 3\.\d s of processor time; its limit is 3\.0 s/);
  const info = await home.info(id);
  assert.deepEqual([info.status, info.reason], ["stopped", "budget_exceeded"]);
  const { cpuMs } = await usedBy("spender");
  assert.ok(cpuMs >= 3000, `${cpuMs} ms`);
});

test("a volume counts while it is there, with what it takes of the disk, and no longer", async () => {
  await home.must(["volume", "create", "data", "--capacity", "300MB"]);
  await sleep(1000);
  const { storageByteHours } = await usedBy("data");
  assert.ok(storageByteHours > 0);
  await home.must(["volume", "remove", "data"]);
  const removed = await usedBy("data");
  assert.ok(removed.storageByteHours >= storageByteHours);
  assert.deepEqual(await usedBy("data"), removed);
});
