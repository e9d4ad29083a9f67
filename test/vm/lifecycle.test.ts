/** The life of a sandbox, through the program that a user runs, in real machines. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { after, afterEach, test } from "node:test";
import { eventually, processesOf, untilClean } from "./support/leftovers.ts";
import { openTestHome } from "./support/test-home.ts";

const ID = /^sbx_loc_[a-z0-9]{20}$/;

const home = await openTestHome();
afterEach(async () => home.clear());
after(async () => home[Symbol.asyncDispose]());

test("run prints what the command prints, passes its status on and leaves nothing", async () => {
  const sum = await home.sbx(["run", "--", "python3", "-c", "print(6*7)"]);
  assert.deepEqual([sum.status, sum.stdout], [0, "42\n"]);
  const seven = await home.sbx(["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
  assert.deepEqual([seven.status, seven.stdout], [7, "out\n"]);
  assert.match(seven.stderr, /^err$/m);
  await untilClean(home);
});

test("create with a command passes its status on and removes the sandbox", async () => {
  const outcome = await home.sbx(["create", "--name", "oneshot", "--", "sh", "-c", "hostname; exit 9"]);
  assert.deepEqual([outcome.status, outcome.stdout], [9, "oneshot\n"]);
  const info = await home.info("oneshot");
  assert.deepEqual([info.status, info.reason], ["stopped", "session_ended"]);
  await untilClean(home);
});

test("create prints an id where stdout is no terminal, and the sandbox can be used until it is killed", async () => {
  const id = await home.must(["create", "--name", "web", "--label", "project=shop"]);
  assert.match(id, ID);
  const info = await home.info("web");
  assert.equal(info.id, id);
  assert.equal(info.status, "running");
  assert.deepEqual(info.labels, { project: "shop" });
  assert.equal(info.region, "loc");
  assert.ok(info.expiresAt !== null && info.expiresAt > Date.now(), "it has an end, half an hour from now");
  for (const ref of [id, "web", id.slice(0, 14), "we"]) {
    assert.equal(await home.must(["exec", ref, "--", "hostname"]), "web", `it is meant by ${ref}`);
  }
  const listed = await home.must(["list"]);
  assert.match(listed, /^ID +NAME +CREATED +STATUS +UPTIME +EXPIRES/m);
  assert.match(listed, new RegExp(`^${id} +web .* running `, "m"));
  const taken = await home.sbx(["create", "--detach", "--name", "web", "--json"]);
  assert.notEqual(taken.status, 0);
  assert.match(taken.stderr, /name_in_use/);
  assert.equal(await home.must(["kill", "web"]), id);
  const stopped = await home.info(id);
  assert.deepEqual([stopped.status, stopped.reason], ["stopped", "killed"]);
  assert.match(await home.must(["list"]), new RegExp(`^${id} +web .*stopped \\(killed\\)`, "m"));
  assert.equal((await home.sbx(["kill", "web"])).status, 0, "killing it again is no error");
  const late = await home.sbx(["exec", "web", "--", "true"]);
  assert.equal(late.status, 125);
  assert.match(late.stderr, /not running any more: killed/);
  await untilClean(home);
});

test("what the name of no sandbox is ends with a hint, and an ambiguous one is refused", async () => {
  const missing = await home.sbx(["inspect", "nobody", "--json"]);
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /sandbox_not_found/);
  const both = await Promise.all([home.create("--name", "twin-a"), home.create("--name", "twin-b")]);
  const ambiguous = await home.sbx(["kill", "twin", "--json"]);
  assert.equal(ambiguous.status, 2);
  assert.match(ambiguous.stderr, /sandbox_ambiguous/);
  await home.must(["kill", ...both]);
  await untilClean(home);
});

test("a sandbox ends when its time is over, extend makes it longer and nothing makes it shorter", async () => {
  const [short, long] = await Promise.all([home.create("--timeout", "4s"), home.create("--timeout", "10m")]);
  const before = (await home.info(long)).expiresAt ?? 0;
  await home.must(["extend", long, "1m"]);
  await home.must(["exec", long, "--", "true"]);
  assert.ok(Math.abs(((await home.info(long)).expiresAt ?? 0) - before) < 2000, "asking for less changes nothing");
  await home.must(["extend", long, "1h"]);
  assert.ok(((await home.info(long)).expiresAt ?? 0) > before + 40 * 60_000, "asking for more does");
  await eventually(async () => assert.equal((await home.info(short)).status, "stopped"));
  assert.equal((await home.info(short)).reason, "expired");
  await untilClean(home, { alive: [long] });
  await home.must(["kill", long]);
  await untilClean(home);
});

test("a sandbox whose command is running when its time is over says so", async () => {
  const id = await home.create("--timeout", "4s");
  const outcome = await home.sbx(["exec", id, "--", "sleep", "1000"]);
  assert.notEqual(outcome.status, 0);
  assert.match(outcome.stderr, /expired/);
  await untilClean(home);
});

test("memory, processors, disk, environment, directory, account and copies are as asked for", async () => {
  await mkdir(home.scratch("project/sub"), { recursive: true });
  await writeFile(home.scratch("project/sub/file.txt"), "of the host\n");
  await writeFile(home.scratch("vars"), "FROM_FILE=a b\nBOTH=file\n");
  const id = await home.create(
    ...["--memory", "512MiB", "--cpus", "1", "--disk", "5GB", "--env", "BOTH=flag", "--env-file", home.scratch("vars")],
    ...["--copy", home.scratch("project")],
  );
  assert.equal(await home.bash(id, "nproc"), "1");
  const memory = Number(await home.bash(id, "awk '/MemTotal/ {print $2}' /proc/meminfo")) / 1024;
  assert.ok(memory > 400 && memory <= 512, `512 MiB were asked for, the guest sees ${memory}`);
  const disk = Number(await home.bash(id, "df -B1000000 --output=size / | tail -1"));
  assert.ok(disk > 4200 && disk <= 5400, `5 GB were asked for, the guest sees ${disk} MB`);
  assert.equal(await home.bash(id, 'echo "$FROM_FILE,$BOTH"'), "a b,flag");
  assert.equal(await home.bash(id, "cat /app/project/sub/file.txt"), "of the host");
  assert.equal(await home.bash(id, "id -un; pwd"), "app\n/home/app");
  assert.equal(
    await home.must(["exec", "--cwd", "/app/project", "--user", "root", id, "--", "sh", "-c", "id -un; pwd"]),
    "root\n/app/project",
  );
  assert.equal(await home.bash(id, "sudo -n id -u; touch /app/mine && echo writable"), "0\nwritable");
  await home.must(["kill", id]);
});

test("what the machine cannot give is refused with the reason", async () => {
  const processors = await home.sbx(["create", "--detach", "--cpus", "250"]);
  assert.equal(processors.status, 125);
  assert.match(processors.stderr, /250 CPUs were asked for; this machine has \d+ cores/);
  const memory = await home.sbx(["create", "--detach", "--memory", "900GiB"]);
  assert.equal(memory.status, 125);
  assert.match(memory.stderr, /921600 MiB of memory were asked for; \d+ MiB can be given now/);
  const nonsense = await home.sbx(["create", "--detach", "--memory", "lots"]);
  assert.equal(nonsense.status, 2);
  await untilClean(home);
});

test("an idle sandbox is one supervisor and one jailed machine, and QEMU is not root", async () => {
  const id = await home.create();
  const { supervisorPid, vmPid } = await home.info(id);
  const found = await processesOf([home.path]);
  assert.deepEqual(found.map(({ role }) => role).sort(), ["jail", "jail", "supervisor", "vm"]);
  assert.ok(found.some(({ pid, role }) => role === "supervisor" && pid === supervisorPid));
  assert.ok(found.some(({ pid }) => pid === vmPid));
  await home.must(["kill", id]);
  await untilClean(home);
});

test("logs of a running sandbox can be read, and prune forgets what is over", async () => {
  const id = await home.create();
  await home.bash(id, "echo to-the-console | sudo tee /dev/console >/dev/null");
  await eventually(async () => assert.match(await home.must(["logs", id]), /to-the-console/));
  const stopped = await home.create();
  await home.must(["kill", stopped]);
  await home.must(["prune", "--yes"]);
  const listed = await home.list();
  assert.deepEqual(
    listed.map((info) => info.id),
    [id],
  );
  assert.equal(await home.must(["exec", id, "--", "echo", "alive"]), "alive");
  await home.must(["kill", "--all", "--yes"]);
  await untilClean(home);
});

test("a guest that shuts itself down is reported so", async () => {
  const id = await home.create();
  await home.sbx(["exec", "--user", "root", id, "--", "sh", "-c", "sync; echo o > /proc/sysrq-trigger; sleep 60"]);
  await eventually(async () => assert.equal((await home.info(id)).status, "stopped"));
  assert.equal((await home.info(id)).reason, "guest_shutdown");
  await untilClean(home);
});
