/**
 * Disks that a running sandbox is given through its supervisor: attached, mounted, frozen, taken away, and what is on
 * them when anything ends by force.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { after, afterEach, test } from "node:test";
import {
  attach,
  attached,
  attachment,
  checkFileSystem,
  detach,
  makeVolume,
  readFromDisk,
  resize,
  snapshot,
} from "./support/disk-door.ts";
import { eventually, processesOf, untilClean } from "./support/leftovers.ts";
import { collect } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

const MiB = 1024 ** 2;
const SMALL = ["--memory", "512MiB", "--cpus", "1"];
/** As `create` makes it by itself. */
const ROOT_BYTES = 10_000_000_000;

const home = await openTestHome();
afterEach(async () => home.clear());
after(async () => home[Symbol.asyncDispose]());

async function pidOf(role: "vm" | "supervisor", id: string): Promise<number> {
  const found = (await processesOf([id])).filter((process_) => process_.role === role);
  assert.ok(found[0] !== undefined, `there is a ${role}`);
  return found[0].pid;
}

/** Kills and waits until the sandbox is over. */
async function killHard(role: "vm" | "supervisor", id: string): Promise<void> {
  process.kill(await pidOf(role, id), "SIGKILL");
  await eventually(async () => assert.equal((await home.info(id)).status, "stopped"));
  await untilClean(home);
}

test("a volume is there for the sandbox's user when the call answers, and its content is on the file afterwards", async () => {
  const id = await home.create(...SMALL);
  const volume = makeVolume(home, "data");
  const [layer] = volume.layers;
  assert.equal((await attach(home, id, volume)).device, "sda");
  assert.deepEqual(
    (await attached(home, id)).map(({ name, path }) => [name, path]),
    [["data", "/mnt/data"]],
  );
  assert.equal(await home.bash(id, "stat -c '%U %a' /mnt/data && echo content > /mnt/data/file"), "app 755");
  assert.match(await home.bash(id, "grep /mnt/data /proc/mounts"), /ext4 rw,nosuid,nodev,noatime/);
  await detach(home, id, volume);
  assert.deepEqual(await attached(home, id), []);
  assert.equal(await home.bash(id, "ls /mnt/data; ls /sys/block | grep sd || true"), "");
  checkFileSystem(layer?.path ?? "");
  assert.equal(readFromDisk(layer?.path ?? "", "file"), "content\n");
  // Somebody else's owner and mode are kept once there is something on it.
  await attach(home, id, volume);
  assert.equal(await home.bash(id, "cat /mnt/data/file"), "content");
});

test("a volume in use is not taken away, and who uses it is named, whatever way it is used", async () => {
  const id = await home.create(...SMALL);
  const volume = makeVolume(home, "busy");
  await attach(home, id, volume);
  const uses: [start: string, name: string][] = [
    ["cd /mnt/busy && exec sleep 1000", "sleep"],
    ["exec tail -f /mnt/busy/file", "tail"],
    ["cp /bin/sleep /mnt/busy/idler && exec /mnt/busy/idler 1000", "idler"],
    ["exec sudo unshare --mount sh -c 'umount /nothing 2>/dev/null; exec sleep 1000'", "sleep"],
  ];
  for (const [start, name] of uses) {
    await home.bash(id, `echo x > /mnt/busy/file; (${start}) </dev/null >/dev/null 2>&1 & sleep 0.5`);
    await assert.rejects(
      detach(home, id, volume),
      new RegExp(`volume busy cannot be detached: it is in use by ${name} \\(\\d+\\)`),
    );
    assert.equal((await attached(home, id)).length, 1);
    assert.equal(await home.bash(id, "cat /mnt/busy/file"), "x", "it goes on to be there");
    await home.bash(id, `sudo pkill -x ${name}; while pgrep -x ${name}; do sleep 0.1; done`);
  }
  await detach(home, id, volume);
});

/** Statements of Python in the guest, with what mounts: there is no program for it. */
async function asRoot(id: string, ...statements: string[]): Promise<void> {
  const lines = [
    "import ctypes, os",
    "libc = ctypes.CDLL(None, use_errno=True)",
    "def must(result): assert result == 0, os.strerror(ctypes.get_errno())",
    "def mount(*args): must(libc.mount(*args))",
    "def umount(*args): must(libc.umount(*args))",
    ...statements,
  ];
  await home.must(["exec", id, "--", "sudo", "python3", "-c", lines.join("\n")]);
}

test("a volume that the guest has mounted elsewhere, or something upon, is not taken away, and neither is that", async () => {
  const id = await home.create(...SMALL);
  const volume = makeVolume(home, "moved");
  await attach(home, id, volume);
  await asRoot(id, "os.mkdir('/other')", "mount(b'/mnt/moved', b'/other', None, 4096, None)", "umount(b'/mnt/moved')");
  await home.bash(id, "echo late > /other/late");
  await assert.rejects(detach(home, id, volume), /cannot be detached: it is in use by its mount at \/other/);
  assert.equal(await home.bash(id, "cat /other/late"), "late");
  assert.equal((await snapshot(home, id, volume.id, 64 * MiB)).isClean, true, "it stands still where it is");
  await asRoot(id, "umount(b'/other')");
  await detach(home, id, volume);
  assert.equal(readFromDisk(volume.layers[0]?.path ?? "", "late"), "late\n");
  await attach(home, id, volume);
  await asRoot(id, "mount(b'mine', b'/mnt/moved', b'tmpfs', 0, b'mode=1777')");
  await home.bash(id, "echo mine > /mnt/moved/own");
  await assert.rejects(detach(home, id, volume), /it is in use by what is mounted at \/mnt\/moved/);
  assert.equal(await home.bash(id, "cat /mnt/moved/own"), "mine");
  await asRoot(id, "umount(b'/mnt/moved')");
  assert.equal(await home.bash(id, "cat /mnt/moved/late"), "late");
  await detach(home, id, volume);
});

test("a read-only volume that is in use stays where it is when it is not taken away", async () => {
  const id = await home.create(...SMALL);
  const volume = { ...makeVolume(home, "shown"), access: "read-only" as const };
  await attach(home, id, volume);
  await home.bash(id, "(sudo unshare --mount sleep 1000) </dev/null >/dev/null 2>&1 & sleep 0.5");
  await assert.rejects(detach(home, id, volume), /it is in use by sleep/);
  assert.match(await home.bash(id, "grep ' /mnt/shown ' /proc/mounts"), /ext4 ro,nosuid,nodev/);
  await home.bash(id, "sudo pkill -x sleep; while pgrep -x sleep; do sleep 0.1; done");
  await detach(home, id, volume);
});

for (const victim of ["vm", "supervisor"] as const) {
  test(`what was fsynced survives kill -9 of the ${victim}, and the file system is sound`, async () => {
    const volume = makeVolume(home, `kept-${victim}`);
    const file = volume.layers[0]?.path ?? "";
    const id = await home.create(...SMALL);
    await attach(home, id, volume);
    const script = `
import os
n = 0
while True:
    with open("${volume.path}/%d" % n, "w") as f:
        f.write("content %d" % n)
        f.flush()
        os.fsync(f.fileno())
    os.fsync(os.open("${volume.path}", os.O_RDONLY))
    print(n, flush=True)
    n += 1
`;
    const writer = home.start(["exec", "--no-stdin", id, "--", "python3", "-c", script]);
    const ended = collect(writer, "a writer");
    let said = "";
    writer.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await eventually(() => assert.ok(said.includes("\n40\n")));
    await killHard(victim, id);
    await ended;
    const acknowledged = said.trim().split("\n").length;
    const next = await home.create(...SMALL);
    await attach(home, next, volume);
    const check = `for n in $(seq 0 ${acknowledged - 1}); do [ "$(cat ${volume.path}/$n)" = "content $n" ] || echo lost $n; done`;
    assert.equal(await home.bash(next, check), "");
    await detach(home, next, volume);
    checkFileSystem(file);
  });
}

test("at the end of a sandbox everything it wrote is on the volume, also what was not synced, and in order", async () => {
  const volume = makeVolume(home, "ended");
  const id = await home.create(...SMALL);
  await attach(home, id, volume);
  await home.bash(
    id,
    "cd /mnt/ended; seq 100000 > numbers; (while :; do date >> log; done) </dev/null >/dev/null 2>&1 &",
  );
  await home.must(["kill", id]);
  const file = volume.layers[0]?.path ?? "";
  checkFileSystem(file);
  assert.equal(readFromDisk(file, "numbers").length, 588_895);
});

test("a read-only volume cannot be written, by root and past the file system neither", async () => {
  const volume = makeVolume(home, "fixed");
  const file = volume.layers[0]?.path ?? "";
  const hash = async (): Promise<string> =>
    createHash("sha256")
      .update(await readFile(file))
      .digest("hex");
  const before = await hash();
  const id = await home.create(...SMALL);
  await attach(home, id, { ...volume, access: "read-only" });
  const outcome = await home.sbx(["exec", id, "--", "sh", "-c", "sudo touch /mnt/fixed/x"]);
  assert.match(outcome.stderr, /Read-only file system/);
  for (const line of [
    "sudo python3 -c \"import ctypes; l = ctypes.CDLL(None, use_errno=True); exit(l.mount(None, b'/mnt/fixed', None, 32, None) == 0)\"",
    "! sudo sh -c 'echo x > /dev/sda'",
    "! sudo dd if=/dev/zero of=/dev/sda bs=4096 count=1 conv=fsync",
  ]) {
    await home.sbx(["exec", id, "--", "sh", "-c", line]);
  }
  await assert.rejects(snapshot(home, id, volume.id, 64 * MiB), /attached read-only/);
  await home.must(["kill", id]);
  assert.equal(await hash(), before);
});

test("a read-only volume is read by several sandboxes at once", async () => {
  const volume = makeVolume(home, "shared");
  const first = await home.create(...SMALL);
  await attach(home, first, volume);
  await home.bash(first, "echo shared > /mnt/shared/file");
  await detach(home, first, volume);
  const second = await home.create(...SMALL);
  for (const id of [first, second]) {
    await attach(home, id, { ...volume, access: "read-only" });
    assert.equal(await home.bash(id, "cat /mnt/shared/file"), "shared");
  }
});

test("a volume that was in use when its machine was killed is read all the same, and not changed by that", async () => {
  const volume = makeVolume(home, "dirty");
  const file = volume.layers[0]?.path ?? "";
  const first = await home.create(...SMALL);
  await attach(home, first, volume);
  await home.bash(
    first,
    "seq 1000 > /mnt/dirty/numbers; sync; (while :; do date >> /mnt/dirty/log; done) </dev/null >/dev/null 2>&1 & sleep 1",
  );
  await killHard("vm", first);
  assert.match(execFileSync("dumpe2fs", ["-h", file], { stdio: "pipe" }).toString(), /needs_recovery/);
  const before = createHash("sha256")
    .update(await readFile(file))
    .digest("hex");
  const id = await home.create(...SMALL);
  await attach(home, id, { ...volume, access: "read-only" });
  assert.equal(await home.bash(id, "cksum < /mnt/dirty/numbers"), await home.bash(id, "seq 1000 | cksum"));
  assert.match((await home.sbx(["exec", id, "--", "touch", "/mnt/dirty/x"])).stderr, /Read-only file system/);
  await detach(home, id, volume);
  await home.must(["kill", id]);
  assert.equal(
    createHash("sha256")
      .update(await readFile(file))
      .digest("hex"),
    before,
  );
});

test("a volume's capacity is where its sandbox runs out of room, and it gets more while it runs", async () => {
  const volume = makeVolume(home, "small", 32 * MiB);
  const id = await home.create(...SMALL);
  await attach(home, id, volume);
  const full = await home.sbx(["exec", id, "--", "sh", "-c", "head -c 100M /dev/zero > /mnt/small/big"]);
  assert.match(full.stderr, /No space left on device/);
  const written = Number(await home.bash(id, "stat -c %s /mnt/small/big"));
  assert.ok(written > 20 * MiB && written < 32 * MiB, `${written} bytes fit`);
  await assert.rejects(resize(home, id, volume, 16 * MiB), /cannot be made smaller/);
  assert.equal((await resize(home, id, volume, 200 * MiB)).capacityBytes, 200 * MiB);
  await home.bash(id, "head -c 100M /dev/zero > /mnt/small/big && sync");
  await detach(home, id, volume);
  checkFileSystem(volume.layers[0]?.path ?? "");
});

test("a volume that grew while nobody used it has its room when it is mounted", async () => {
  const volume = makeVolume(home, "grown", 32 * MiB);
  await truncate(volume.layers[0]?.path ?? "", 300 * MiB);
  const id = await home.create(...SMALL);
  await attach(home, id, { ...volume, capacityBytes: 300 * MiB });
  await home.bash(id, "head -c 200M /dev/zero > /mnt/grown/big");
});

test("what a deleted file took is the host's again", async () => {
  const volume = makeVolume(home, "lean", 512 * MiB);
  const [base = { path: "" }] = volume.layers;
  const id = await home.create(...SMALL);
  await attach(home, id, volume);
  const taken = (file: string): number => statSync(file).blocks * 512;
  const before = taken(base.path);
  await home.bash(id, "head -c 200M /dev/urandom > /mnt/lean/big; sync");
  assert.ok(taken(base.path) > before + 190 * MiB);
  await home.bash(id, "rm /mnt/lean/big; sync");
  await eventually(() => assert.ok(taken(base.path) < before + 20 * MiB));
  const { layerPath } = await snapshot(home, id, volume.id, 512 * MiB);
  await home.bash(id, "head -c 200M /dev/urandom > /mnt/lean/big; sync; rm /mnt/lean/big; sync");
  await eventually(() => assert.ok(taken(layerPath) < 20 * MiB));
});

test("a disk that is larger than all that the machine was started with can be filled beyond that", async () => {
  const id = await home.create(...SMALL, "--disk", "3GiB");
  const bytes = 40 * 1024 * MiB;
  const volume = makeVolume(home, "huge", bytes);
  await attach(home, id, volume);
  // Near its end.
  await home.bash(id, "sudo dd if=/dev/urandom of=/mnt/huge/x bs=1M count=1 conv=fsync 2>/dev/null");
  await home.bash(
    id,
    `sudo fallocate -l 35G /mnt/huge/a && sudo dd if=/dev/urandom of=/mnt/huge/b bs=1M count=8 conv=fsync 2>/dev/null`,
  );
  await detach(home, id, volume);
  checkFileSystem(volume.layers[0]?.path ?? "");
});

test("a volume without a file system is refused, with nothing of it left", async () => {
  const id = await home.create(...SMALL);
  const file = home.scratch("empty.raw");
  await writeFile(file, Buffer.alloc(16 * MiB));
  const empty = attachment("empty", file, 16 * MiB);
  await assert.rejects(
    attach(home, id, empty),
    /volume empty cannot be mounted at \/mnt\/empty: there is no ext4 file system on it/,
  );
  await assert.rejects(
    attach(home, id, { ...empty, layers: [{ path: home.scratch("gone"), format: "raw" }] }),
    /the disk file .*gone cannot be opened/,
  );
  const taken = makeVolume(home, "taken");
  await assert.rejects(attach(home, id, { ...taken, path: "/etc/hostname" }), /cannot be mounted at \/etc\/hostname/);
  assert.deepEqual(await attached(home, id), []);
  const open = execFileSync("find", [`/proc/${await pidOf("vm", id)}/fd`, "-lname", `${home.scratch("")}*`]).toString();
  assert.doesNotMatch(open, /\.raw/);
  assert.equal(await home.bash(id, "ls /sys/block | grep sd || true"), "");
  // And the next one is as if nothing had been.
  assert.equal((await attach(home, id, taken)).path, "/mnt/taken");
});

test("snapshots of a volume and of the root disk hold exactly what was written before", async () => {
  const volume = makeVolume(home, "snapped");
  const base = volume.layers[0]?.path ?? "";
  const id = await home.create(...SMALL);
  await attach(home, id, volume);
  await home.bash(id, "echo before | tee /mnt/snapped/file > ~/file");
  const first = await snapshot(home, id, volume.id, 64 * MiB);
  assert.equal(first.isClean, true);
  const root = await snapshot(home, id, "root", ROOT_BYTES);
  assert.equal(root.isClean, true);
  const frozen = createHash("sha256")
    .update(await readFile(base))
    .digest("hex");
  await home.bash(id, "echo after | tee /mnt/snapped/file > ~/file; sync; cat /mnt/snapped/file");
  assert.equal(
    createHash("sha256")
      .update(await readFile(base))
      .digest("hex"),
    frozen,
    "it never changes again",
  );
  checkFileSystem(base);
  assert.equal(readFromDisk(base, "file"), "before\n");
  // A chain is read by others, and the sandbox goes on through all of it.
  const other = await home.create(...SMALL);
  const top = { ...volume, layers: [...volume.layers], access: "read-only" as const };
  await attach(home, other, top);
  assert.equal(await home.bash(other, "cat /mnt/snapped/file"), "before");
  assert.equal(await home.bash(id, "cat /mnt/snapped/file ~/file"), "after\nafter");
});

test("a snapshot is clean and whole while the guest writes and is copied to, and nothing in the guest stands still for long", async () => {
  const volume = makeVolume(home, "written", 256 * MiB);
  let layers = volume.layers;
  const id = await home.create("--memory", "1GiB");
  await attach(home, id, volume);
  await home.bash(
    id,
    "cd /mnt/written; for w in 1 2; do (n=0; while :; do n=$((n+1)); echo $n > $w.$((n % 200)); done) </dev/null >/dev/null 2>&1 & done",
  );
  await mkdir(home.scratch("many"), { recursive: true });
  for (let n = 0; n < 2000; n += 1) await writeFile(home.scratch(`many/${n}`), `${n}`);
  for (let round = 0; round < 6; round += 1) {
    const copy = home.must(["copy", home.scratch("many"), `${id}:/mnt/written/copy${round}`]);
    const taken: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      const disk = n === 1 ? "root" : volume.id;
      const { isClean, layerPath } = await snapshot(home, id, disk, n === 1 ? ROOT_BYTES : 256 * MiB);
      assert.equal(isClean, true);
      if (n !== 1) taken.push(layerPath);
    }
    await copy;
    layers = [...layers, ...taken.map((path) => ({ path, format: "qcow2" as const }))];
  }
  assert.equal(await home.bash(id, "ls /mnt/written/copy5 | wc -l"), "2000");
  await home.must(["kill", id]);
  assert.equal(layers.length, 13);
  // All of it, through thirteen layers, in another sandbox.
  const next = await home.create(...SMALL);
  await attach(home, next, { ...volume, layers });
  assert.equal(await home.bash(next, "cat /mnt/written/copy*/* | wc -c"), String(6 * 6890));
});

test("a snapshot of a volume that QEMU cannot take leaves the guest going on as before", async () => {
  const volume = makeVolume(home, "refused");
  const id = await home.create(...SMALL);
  await attach(home, id, volume);
  await assert.rejects(
    snapshot(home, id, volume.id, 1 * MiB),
    /has 1048576 bytes, and the disk vol_loc_\d+ has 67108864/,
  );
  assert.equal(await home.bash(id, "echo on > /mnt/refused/file && sync && cat /mnt/refused/file"), "on");
  assert.equal((await snapshot(home, id, volume.id, 64 * MiB)).isClean, true);
});
