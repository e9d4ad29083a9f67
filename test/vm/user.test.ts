/**
 * A freshly made account that sets nothing up and has no rights runs sandboxes, apart from root's. Making the account
 * needs root, or sudo without a password.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { eventually, processesOf, untilClean } from "./support/leftovers.ts";
import { PROGRAM, runHost, type Outcome } from "./support/program.ts";
import { openTestHome, prepared } from "./support/test-home.ts";

const ACCOUNT = `sbxtest${process.pid}`;
const SMALL = ["--memory", "512MiB", "--cpus", "1"];

const own = await openTestHome();
let base = "";
let uid = 0;

before(async () => {
  // The data directory is where its user's own would be after `sbx setup`; only the image is not built again.
  base = await mkdtemp(path.join("/var/tmp", `${ACCOUNT}-`));
  await asRoot("useradd", "--create-home", "--home-dir", path.join(base, "home"), "--shell", "/bin/bash", ACCOUNT);
  uid = Number((await asRoot("id", "-u", ACCOUNT)).stdout);
  await asRoot("chmod", "755", base);
  const data = path.join(base, "home/.local/share/sbx");
  await asRoot("mkdir", "-p", data);
  await asRoot("cp", "-r", "--sparse=always", path.join(prepared.dataPath, "images"), data);
  await asRoot("chown", "-R", `${ACCOUNT}:`, path.join(base, "home"));
});
after(async () => {
  for (const { pid } of await processesOf([base])) await asRoot("kill", "-9", String(pid)).catch(() => undefined); // gone
  await asRoot("userdel", ACCOUNT).catch(() => undefined); // where it was never made
  await asRoot("rm", "-rf", base, `/tmp/sbx-${uid}`);
  await rm(base, { recursive: true, force: true });
  await own[Symbol.asyncDispose]();
});

async function asRoot(...argv: [string, ...string[]]): Promise<Outcome> {
  const outcome = await runHost(process.getuid?.() === 0 ? argv : ["sudo", "-n", ...argv]);
  if (outcome.status !== 0) throw new Error(`${argv.join(" ")}: ${outcome.stderr}`);
  return outcome;
}

/** Runs something as the account, with nothing of this process's environment. */
async function asAccount(argv: readonly string[]): Promise<Outcome> {
  const words = [
    "runuser",
    "-u",
    ACCOUNT,
    "--",
    "env",
    "-i",
    `HOME=${path.join(base, "home")}`,
    `USER=${ACCOUNT}`,
    "PATH=/usr/local/bin:/usr/bin:/bin",
    ...argv,
  ];
  const [first = "", ...rest] = process.getuid?.() === 0 ? words : ["sudo", "-n", ...words];
  return runHost([first, ...rest], { cwd: "/" });
}

/** The account reads the program from where it lies; nothing is installed for it. */
async function sbx(...args: string[]): Promise<Outcome> {
  return asAccount([...PROGRAM, ...args]);
}

test("an ordinary user creates, uses and kills sandboxes without having set anything up", async () => {
  const created = await sbx("create", "--detach", ...SMALL);
  assert.equal(created.status, 0, created.stderr);
  const id = created.stdout.trim();
  const seen = await sbx("exec", id, "--", "sh", "-c", "id -un; sudo -n id -un");
  assert.deepEqual([seen.status, seen.stdout], [0, "app\nroot\n"], seen.stderr);
  const info = JSON.parse((await sbx("inspect", id, "--json")).stdout) as { vmPid: number; supervisorPid: number };
  for (const pid of [info.vmPid, info.supervisorPid]) {
    const owner = (await runHost(["stat", "-c", "%u", `/proc/${pid}`])).stdout.trim();
    assert.equal(owner, String(uid), "its processes are the user's own");
  }
  const killed = await sbx("kill", id);
  assert.equal(killed.status, 0, killed.stderr);
  assert.equal((await processesOf([base])).length, 0);
});

test("an ordinary user's volumes are attached, frozen, written to beyond the size of any other disk, and taken away", async () => {
  const must = async (...args: string[]): Promise<string> => {
    const outcome = await sbx(...args);
    assert.equal(outcome.status, 0, `${args.join(" ")}: ${outcome.stderr}`);
    return outcome.stdout.trim();
  };
  await must("volume", "create", "own", "--capacity", "40GB");
  const id = await must(
    "create",
    "--detach",
    "--quiet",
    ...SMALL,
    "--name",
    "box",
    "--disk",
    "3GiB",
    "--volume",
    "own:/own",
  );
  await must("exec", id, "--", "sh", "-c", "echo before > /own/file; echo before > file");
  await must("volume", "snapshot", "own", "own-1");
  await must("snapshot", "create", "box-1", "--from", "box");
  await must(
    "exec",
    id,
    "--",
    "sh",
    "-c",
    "echo after > /own/file; fallocate -l 35G /own/a; head -c 8M /dev/zero > /own/b; sync",
  );
  await must("volume", "detach", "own", id);
  await must("volume", "attach", "own", id, "/again", "--read-only");
  assert.equal(await must("exec", id, "--", "cat", "/again/file"), "after");
  await must("kill", id);
  await must("volume", "create", "dev", "--from", "box-1");
  await must("volume", "create", "own-old", "--from", "own-1");
  const started = [
    "run",
    ...SMALL,
    "--root",
    "dev",
    "--volume",
    "own-old:/old",
    "--",
    "cat",
    "/old/file",
    "/home/app/file",
  ];
  assert.equal(await must(...started), "before\nbefore");
  await eventually(async () => assert.deepEqual(await processesOf([base]), []));
});

test("QEMU is not root, whoever runs sbx", async () => {
  const id = await own.create();
  const machines = (await processesOf([id])).filter(({ role }) => role === "vm");
  assert.equal(machines.length, 1);
  for (const { pid } of machines) {
    const status = (await runHost(["cat", `/proc/${pid}/status`])).stdout;
    const ids = /^Uid:\t(.*)$/m.exec(status)?.[1]?.split("\t") ?? [];
    assert.equal(ids.length, 4);
    assert.ok(!ids.includes("0"), `QEMU runs as ${ids.join(", ")}`);
    assert.match(status, /^CapEff:\t0000000000000000$/m);
    assert.match(status, /^CapBnd:\t0000000000000000$/m);
    assert.match(status, /^NoNewPrivs:\t1$/m);
    assert.match(status, /^Seccomp:\t2$/m);
    const network = await runHost(["readlink", `/proc/${pid}/ns/net`, "/proc/self/ns/net"]);
    assert.equal(new Set(network.stdout.trim().split("\n")).size, 2, "it has a network of its own, which is none");
  }
  await own.must(["kill", id]);
  await untilClean(own);
});

test("another account can neither see nor open this user's sandboxes", async () => {
  const id = await own.create();
  const socket = path.join(own.paths.socketsPath, `${id}.sock`);
  const connect = `import socket;s=socket.socket(socket.AF_UNIX);s.connect(${JSON.stringify(socket)})`;
  const refused = await asAccount(["python3", "-c", connect]);
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /PermissionError/);
  const files = await asAccount(["ls", path.join(own.paths.sandboxesPath, id)]);
  assert.notEqual(files.status, 0);
  const listed = await sbx("list", "--all", "--json");
  assert.doesNotMatch(listed.stdout, new RegExp(id));
  const exec = await sbx("exec", id, "--", "true");
  assert.equal(exec.status, 125);
  await own.must(["kill", id]);
  await untilClean(own);
});
