/**
 * Volumes and snapshots as files under real machines: what one machine exported boots on another, a snapshot under load
 * is in order, many generations hold each their own, and an import that is killed leaves nothing.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { after, afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { checkFileSystem } from "./support/disk-door.ts";
import { collect } from "./support/program.ts";
import { seededRandom, testSeed } from "./support/seeded-random.ts";
import { openTestHome, type TestHome } from "./support/test-home.ts";

const SMALL = ["--memory", "512MiB", "--cpus", "1"];
const GENERATIONS = 20;
const seed = testSeed();
const random = seededRandom(seed);

const home = await openTestHome();
afterEach(async () => home.clear());
after(async () => home[Symbol.asyncDispose]());

interface Disk {
  id: string;
  slug: string;
  faults: string[];
}

async function disksOf(where: TestHome): Promise<Disk[]> {
  const volumes = JSON.parse(await where.must(["volume", "list", "--json"])) as Disk[];
  const snapshots = JSON.parse(await where.must(["snapshot", "list", "--json"])) as Disk[];
  return [...volumes, ...snapshots];
}

function layerFiles(where: TestHome): string[] {
  if (!existsSync(where.paths.layersPath)) return [];
  return readdirSync(where.paths.layersPath).filter((name) => name.startsWith("lyr_"));
}

/** All that a volume or snapshot holds, as one raw file that ends with the test. */
async function flatten(kind: "volume" | "snapshot", name: string): Promise<string> {
  await using other = await openTestHome();
  const file = home.scratch(`${name}.sbxdisk`);
  await home.must([kind, "export", name, file, "--force"]);
  await other.must([kind, "import", file, "flat"]);
  const [layer = ""] = layerFiles(other);
  const raw = home.scratch(`${name}.raw`);
  execFileSync("cp", ["--sparse=always", path.join(other.paths.layersPath, layer), raw]);
  return raw;
}

test("a sandbox's disk that one machine exported starts on another, and is what it was", async () => {
  const box = await home.create(...SMALL, "--name", "maker");
  await home.bash(box, "echo tool | sudo tee /usr/local/bin/tool; head -c 20M /dev/urandom > ~/noise; sync");
  const sum = await home.bash(box, "cksum < ~/noise");
  await home.must(["snapshot", "create", "made", "--from", "maker"]);
  const file = home.scratch("made.sbxdisk");
  await home.must(["snapshot", "export", "made", file]);
  await using other = await openTestHome();
  await other.must(["snapshot", "import", file, "given"]);
  const line = "cat /usr/local/bin/tool; cksum < ~/noise";
  assert.equal(await other.must(["run", ...SMALL, "--root", "given", "--", "bash", "-c", line]), `tool\n${sum}`);
  // On the machine that it came from, and from a pipe.
  await home.must(["kill", box]);
  await home.must(["snapshot", "remove", "made"]);
  const raw = await collect(other.start(["snapshot", "export", "given", "-"]), "export");
  assert.equal(raw.status, 0, raw.stderr);
  await home.must(["snapshot", "import", "-"], { input: raw.bytes });
  assert.equal(await home.must(["run", ...SMALL, "--root", "given", "--", "bash", "-c", line]), `tool\n${sum}`);
});

test("a snapshot that is taken while a database is written to is in order, and has every write that was synced", async () => {
  await home.must(["volume", "create", "busy", "--capacity", "200MB"]);
  const box = await home.create(...SMALL, "--volume", "busy:/b");
  // Each line is synced before the next one is begun; what was synced is counted beside it.
  const writer = `
import os
f = os.open("/b/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
for n in range(10**9):
    os.write(f, b"%09d\\n" % n)
    os.fsync(f)
    if n % 7 == 0: os.replace("/b/log.copy", "/b/old") if os.path.exists("/b/log.copy") else open("/b/log.copy", "w").write("x" * n)
`;
  await home.bash(
    box,
    `cat > ~/w.py <<'EOF'\n${writer}\nEOF\nnohup python3 ~/w.py >/dev/null 2>&1 </dev/null & until [ -s /b/log ]; do sleep 0.1; done`,
  );
  const counts: number[] = [];
  for (let n = 0; n < 4; n++) {
    counts.push(Number(await home.bash(box, "wc -l < /b/log")));
    await home.must(["volume", "snapshot", "busy", `busy-${n}`]);
    await sleep(300);
  }
  const last = Number(await home.bash(box, "pkill python3; sleep 0.2; wc -l < /b/log"));
  assert.ok(last > (counts.at(-1) ?? 0), "the writer went on");
  await home.must(["kill", box]);
  for (const [n, count] of counts.entries()) {
    checkFileSystem(await flatten("snapshot", `busy-${n}`));
    await home.must(["volume", "create", `look-${n}`, "--from", `busy-${n}`]);
    const line = `python3 -c 'l=open("/l/log").read().split(); print(l==["%09d"%i for i in range(len(l))], len(l))'`;
    const said = await home.must(["run", ...SMALL, "--volume", `look-${n}:/l`, "--", "sh", "-c", line]);
    const [isWhole, lines] = said.split(" ");
    assert.equal(isWhole, "True");
    assert.ok(Number(lines) >= count && Number(lines) <= last, `${lines} lines, ${count} before`);
  }
  checkFileSystem(await flatten("volume", "busy"));
});

test(`${GENERATIONS} snapshots of one disk each hold what was there, whichever others are gone`, async () => {
  const before = layerFiles(home).sort();
  const box = await home.create(...SMALL, "--name", "growing");
  for (let n = 0; n < GENERATIONS; n++) {
    await home.bash(box, `echo ${n} > ~/generation; head -c 100k /dev/urandom > ~/file-${n}; sync`);
    await home.must(["snapshot", "create", `gen-${n}`, "--from", "growing"]);
  }
  const sums = await home.bash(box, "cd && cksum file-* generation | sort");
  await home.must(["kill", box]);
  for (const { slug, faults } of await disksOf(home)) assert.deepEqual(faults, [], slug);
  const line = "cd && cksum file-* generation | sort";
  const newest = `gen-${GENERATIONS - 1}`;
  assert.equal(await home.must(["run", ...SMALL, "--root", newest, "--", "bash", "-c", line]), sums);
  // The chain below is still all of it.
  const others = Array.from({ length: GENERATIONS }, (_, n) => `gen-${n}`).filter(
    (name) => !["gen-7", newest].includes(name),
  );
  await home.must(["snapshot", "remove", ...others]);
  assert.equal(await home.must(["run", ...SMALL, "--root", newest, "--", "bash", "-c", line]), sums);
  assert.equal(
    await home.must(["run", ...SMALL, "--root", "gen-7", "--", "bash", "-c", "cat ~/generation; ls ~ | wc -l"]),
    "7\n9",
  );
  await home.must(["snapshot", "remove", newest, "gen-7"]);
  await home.must(["list"]);
  assert.deepEqual(layerFiles(home).sort(), before);
});

test(`an import that is killed at any moment leaves nothing (seed ${seed})`, async () => {
  await home.must(["volume", "create", "big", "--capacity", "300MB"]);
  await home.must(["run", ...SMALL, "--volume", "big:/b", "--", "sh", "-c", "head -c 150M /dev/urandom > /b/x"]);
  const file = home.scratch("big.sbxdisk");
  await home.must(["volume", "export", "big", file]);
  const before = layerFiles(home).sort();
  for (let n = 0; n < 8; n++) {
    const child = home.start(["volume", "import", file, `killed-${n}`]);
    const ended = collect(child, "import");
    await sleep(100 + Math.floor(random() * 900));
    child.kill("SIGKILL");
    const { status } = await ended;
    const made = (await disksOf(home)).filter(({ slug }) => slug === `killed-${n}`);
    assert.equal(made.length, status === 0 ? 1 : made.length);
    for (const { faults } of made) assert.deepEqual(faults, []);
    if (made.length > 0) await home.must(["volume", "remove", `killed-${n}`]);
    await home.must(["prune", "--volumes", "--yes"]);
    assert.deepEqual(layerFiles(home).sort(), before);
  }
});

test("a damaged base is named when something is to start from it, and others start", async () => {
  await home.must(["volume", "create", "sound", "--capacity", "64MB"]);
  const others = new Set(layerFiles(home));
  await home.must(["volume", "create", "hurt", "--capacity", "64MB"]);
  const [sealed = ""] = layerFiles(home).filter((name) => !others.has(name));
  for (const name of ["sound", "hurt"]) {
    await home.must(["run", ...SMALL, "--volume", `${name}:/v`, "--", "sh", "-c", `echo ${name} > /v/file`]);
  }
  await home.must(["volume", "snapshot", "hurt", "hurt-base"]);
  rmSync(path.join(home.paths.layersPath, sealed));
  const refused = await home.sbx(["run", ...SMALL, "--volume", "hurt:/v", "--", "true"]);
  assert.equal(refused.status, 125);
  assert.match(refused.stderr, /volume hurt is damaged: \S+ is missing\n {2}try: sbx volume inspect hurt\n$/);
  const inspected = await home.sbx(["volume", "inspect", "hurt"]);
  assert.deepEqual([inspected.status, /Fault +\S+ is missing/.test(inspected.stdout)], [1, true]);
  assert.match((await home.sbx(["doctor"])).stdout, /volume hurt: \S+ is missing/);
  const read = ["run", ...SMALL, "--volume", "sound:/v", "--", "cat", "/v/file"];
  assert.equal(await home.must(read), "sound");
});
