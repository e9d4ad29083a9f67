/** Volumes are made, used by one writer, removed, brought back and grown; what is damaged is named and harms nobody else. */
import { execFileSync } from "node:child_process";
import assert from "node:assert/strict";
import {
  closeSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { test } from "node:test";
import { SbxError } from "../../../src/runtime/errors.ts";
import { imageUsers, waysToEnd } from "../../../src/runtime/local/disks/image-users.ts";
import { claimVolumes, findRoot, findVolumes } from "../../../src/runtime/local/disks/sandbox-disks.ts";
import { openState } from "../../../src/runtime/local/state.ts";
import { publishSmallImage } from "../image/small-image.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { inconsistencies, MiB, newDisks, openDisks } from "./disk-home.ts";

const PATH = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;
const DAY_MS = 24 * 60 * 60 * 1000;

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: "utf8", env: { ...process.env, PATH }, stdio: "pipe" });
}

function poke(file: string, offset: number, text: string): void {
  const handle = openSync(file, "r+");
  writeSync(handle, Buffer.from(text), 0, text.length, offset);
  closeSync(handle);
}

async function errorOf(promise: Promise<unknown>): Promise<SbxError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof SbxError, `no SbxError: ${String(error)}`);
  return error;
}

test("a new volume is a clean ext4 of its capacity that takes little room", async (t) => {
  const home = await newDisks(t);
  const volume = await home.volumes.create({ slug: "data", capacityBytes: 10_000_000_000 });
  assert.match(volume.id, /^vol_loc_[0-9a-hjkmnp-z]{20}$/);
  assert.deepEqual([volume.capacityBytes, volume.isBootable, volume.baseSnapshot], [10_000_000_000, false, null]);
  const file = home.headPath("data");
  assert.equal(statSync(file).size, 10_000_000_000);
  assert.ok(statSync(file).blocks * 512 < 16 * MiB);
  run("e2fsck", "-fn", file);
  const facts = run("dumpe2fs", "-h", file);
  assert.match(facts, /Filesystem volume name: +data\n/);
  assert.match(facts, /Block count: +2441406\n/);
  assert.match(facts, /Filesystem features: .*has_journal.*resize_inode.*metadata_csum/);
  assert.deepEqual(await inconsistencies(home), []);
});

test("the smallest volume has a file system, one below it is refused", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "small", capacityBytes: 16 * MiB });
  run("e2fsck", "-fn", home.headPath("small"));
  const error = await errorOf(home.volumes.create({ slug: "tiny", capacityBytes: 16 * MiB - 512 }));
  assert.equal(error.code, "usage");
  assert.equal(home.files().length, 1);
});

test("a capacity that is no whole number of sectors is kept as it was asked for", async (t) => {
  const home = await newDisks(t);
  const volume = await home.volumes.create({ slug: "odd", capacityBytes: 300_000_001 });
  assert.equal(volume.capacityBytes, 300_000_001);
  assert.equal(statSync(home.headPath("odd")).size, 300_000_256);
  await home.volumes.snapshot("odd", "odd-one");
  assert.deepEqual(await inconsistencies(home), []);
});

test("names are checked, and are one namespace with those of snapshots", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  for (const slug of ["x", "-ab", "ab-", "Data", "xn--a", "a_b", "a".repeat(33), ""]) {
    const error = await errorOf(home.volumes.create({ slug, capacityBytes: 16 * MiB }));
    assert.equal(error.code, "usage", slug);
  }
  await home.volumes.snapshot("data", "monday");
  for (const slug of ["data", "monday"]) {
    assert.equal((await errorOf(home.volumes.create({ slug, capacityBytes: 16 * MiB }))).code, "name_in_use");
    assert.equal((await errorOf(home.volumes.snapshot("data", slug))).code, "name_in_use");
  }
  assert.deepEqual(await inconsistencies(home), []);
});

test("a volume is found by id, name, and a unique beginning of either", async (t) => {
  const home = await newDisks(t);
  const { id } = await home.volumes.create({ slug: "alpha-one", capacityBytes: 16 * MiB });
  await home.volumes.create({ slug: "alpha", capacityBytes: 16 * MiB });
  assert.equal((await home.volumes.get(id)).slug, "alpha-one");
  assert.equal((await home.volumes.get("alpha")).slug, "alpha");
  assert.equal((await home.volumes.get("alpha-")).slug, "alpha-one");
  assert.equal((await errorOf(home.volumes.get("al"))).code, "usage");
  assert.equal((await errorOf(home.volumes.get("beta"))).code, "volume_not_found");
});

test("one sandbox writes at a time, and who it is is said; it lets go with its end", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  const mount = { volume: "data", path: "/data", access: "read-write" } as const;
  const found = await findVolumes(home.context, [mount]);
  const first = home.sandbox({ name: "first" });
  const second = home.sandbox({ name: "second" });
  const [attachment] = await claimVolumes(home.context, found, first);
  assert.deepEqual(attachment?.layers, [{ path: home.headPath("data"), format: "raw" }]);
  for (const access of ["read-write", "read-only"] as const) {
    const wanted = found.map(({ row }) => ({ row, mount: { ...mount, access } }));
    const error = await errorOf(claimVolumes(home.context, wanted, second));
    assert.equal(error.code, "volume_in_use");
    assert.equal(error.message, "volume data is being used by first");
    assert.equal(error.hint, "sbx volume detach data first");
  }
  assert.equal((await errorOf(home.volumes.remove("data"))).code, "volume_in_use");
  home.endSandbox(first);
  await claimVolumes(home.context, found, second);
  home.state.disks.claims.release(second);
  assert.deepEqual((await home.volumes.get("data")).holders, []);
});

test("any number read a volume, and nobody writes to it meanwhile", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  const mount = { volume: "data", path: "/data", access: "read-only" } as const;
  const found = await findVolumes(home.context, [mount]);
  const readers = [home.sandbox(), home.sandbox(), home.sandbox()];
  for (const reader of readers) await claimVolumes(home.context, found, reader);
  const writer = home.sandbox();
  const wanted = found.map(({ row }) => ({ row, mount: { ...mount, access: "read-write" as const } }));
  assert.match((await errorOf(claimVolumes(home.context, wanted, writer))).message, /is being read by/);
  assert.equal((await home.volumes.get("data")).holders.length, 3);
  // A snapshot changes nothing for them.
  await home.volumes.snapshot("data", "monday");
  assert.deepEqual(await inconsistencies(home), []);
});

test("volumes of a sandbox are claimed all or none", async (t) => {
  const home = await newDisks(t);
  for (const slug of ["one", "two"]) await home.volumes.create({ slug, capacityBytes: 16 * MiB });
  const mounts = ["one", "two"].map((volume) => ({ volume, path: `/${volume}`, access: "read-write" as const }));
  const found = await findVolumes(home.context, mounts);
  await claimVolumes(home.context, found.slice(1), home.sandbox());
  await errorOf(claimVolumes(home.context, found, home.sandbox()));
  assert.deepEqual((await home.volumes.get("one")).holders, []);
});

test("a volume twice, and two at one place, are refused before anything is made", async (t) => {
  const home = await newDisks(t);
  for (const slug of ["one", "two"]) await home.volumes.create({ slug, capacityBytes: 16 * MiB });
  const mount = (volume: string, path: string) => ({ volume, path, access: "read-write" }) as const;
  assert.equal((await errorOf(findVolumes(home.context, [mount("one", "/a"), mount("one", "/b")]))).code, "usage");
  assert.equal((await errorOf(findVolumes(home.context, [mount("one", "/a"), mount("two", "/a")]))).code, "usage");
});

test("a removed volume frees its name at once, and comes back whole within a day", async (t) => {
  const home = await newDisks(t);
  const { id } = await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  poke(home.headPath("data"), 9 * MiB, "still here");
  const removed = await home.volumes.remove("data");
  assert.equal(removed.restorableUntil, (removed.removedAt ?? 0) + DAY_MS);
  assert.deepEqual(await home.volumes.list(), []);
  assert.deepEqual(
    (await home.volumes.list({ removed: true })).map((volume) => volume.id),
    [id],
  );
  assert.equal((await errorOf(home.volumes.get("data"))).hint, "sbx volume restore data");
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  const taken = await errorOf(home.volumes.restore(id));
  assert.deepEqual([taken.code, taken.hint], ["name_in_use", `sbx volume restore ${id} --name ANOTHER`]);
  await home.volumes.restore(id, { slug: "data-before" });
  assert.equal(
    readFileSync(home.headPath("data-before"))
      .subarray(9 * MiB, 9 * MiB + 10)
      .toString(),
    "still here",
  );
});

test("a day after its removal a volume is gone for good with the next command", async (t) => {
  const home = await newDisks(t);
  const { id } = await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  await home.volumes.create({ slug: "kept", capacityBytes: 16 * MiB });
  await home.volumes.remove("data");
  home.state.database.prepare("UPDATE volumes SET removed_at = ? WHERE id = ?").run(Date.now() - DAY_MS - 1, id);
  using next = await openDisks(home.path);
  assert.deepEqual(await next.volumes.list({ removed: true }), []);
  assert.equal((await errorOf(next.volumes.restore(id))).code, "volume_not_found");
  assert.equal(next.files().length, 1);
  assert.deepEqual(await inconsistencies(next), []);
});

test("a volume grows, never shrinks, and its base does not change", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  assert.equal((await home.volumes.resize("data", 32 * MiB)).capacityBytes, 32 * MiB);
  assert.equal(statSync(home.headPath("data")).size, 32 * MiB);
  await home.volumes.snapshot("data", "monday");
  const before = statSync(home.snapshotPath("monday"), { bigint: true });
  await home.volumes.resize("data", 4 * 1024 ** 3);
  assert.match(run("qemu-img", "info", "-f", "qcow2", home.headPath("data")), /virtual size: 4 GiB/);
  const after = statSync(home.snapshotPath("monday"), { bigint: true });
  assert.deepEqual([after.size, after.mtimeNs], [before.size, before.mtimeNs]);
  assert.equal((await errorOf(home.volumes.resize("data", 32 * MiB))).code, "usage");
  assert.deepEqual((await home.volumes.get("data", { verify: true })).faults, []);
  assert.deepEqual(await inconsistencies(home), []);
});

test("a volume whose file cannot become so large stays as it was, and can be used", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  await home.volumes.snapshot("data", "monday");
  const programs = temporaryDirectory(t);
  writeFileSync(`${programs}/qemu-img`, "#!/bin/sh\necho too large >&2\nexit 1\n", { mode: 0o755 });
  const { PATH: path } = process.env;
  process.env.PATH = `${programs}:${path ?? ""}`;
  try {
    await assert.rejects(home.volumes.resize("data", 32 * MiB), /qemu-img/);
  } finally {
    process.env.PATH = path;
  }
  assert.equal((await home.volumes.get("data")).capacityBytes, 16 * MiB);
  assert.deepEqual(await inconsistencies(home), []);
  await home.volumes.snapshot("data", "tuesday");
  assert.equal((await home.volumes.resize("data", 32 * MiB)).capacityBytes, 32 * MiB);
});

test("while it is read a volume does not grow, and stays as it was", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  const found = await findVolumes(home.context, [{ volume: "data", path: "/data", access: "read-only" }]);
  await claimVolumes(home.context, found, home.sandbox({ name: "reader" }));
  const error = await errorOf(home.volumes.resize("data", 32 * MiB));
  assert.equal(error.message, "volume data is being read by reader");
  assert.equal(statSync(home.headPath("data")).size, 16 * MiB);
  assert.deepEqual(await inconsistencies(home), []);
});

const DAMAGES: [string, (file: string) => void, RegExp][] = [
  ["missing", (file) => rmSync(file), /\.raw is missing$/],
  ["cut", (file) => truncateSync(file, 5 * MiB), /has 5242880 bytes instead of 16777216$/],
  ["written to", (file) => poke(file, 0, "x"), /was written to after it was sealed$/],
  ["dated back", (file) => utimesSync(file, 1, 1), /was written to after it was sealed$/],
];

for (const [what, damage, fault] of DAMAGES) {
  test(`a layer that is ${what} is named wherever its disk is used, and by nobody else`, async (t) => {
    const home = await newDisks(t);
    for (const slug of ["sound", "hurt"]) await home.volumes.create({ slug, capacityBytes: 16 * MiB });
    await home.volumes.snapshot("hurt", "base");
    await home.volumes.create({ slug: "child", from: "base" });
    damage(home.snapshotPath("base"));
    for (const slug of ["hurt", "child"]) assert.match((await home.volumes.get(slug)).faults[0] ?? "", fault);
    assert.match((await home.snapshots.get("base")).faults[0] ?? "", fault);
    assert.deepEqual((await home.volumes.get("sound")).faults, []);
    const mount = { volume: "child", path: "/data", access: "read-write" } as const;
    const attach = await errorOf(findVolumes(home.context, [mount]));
    assert.equal(attach.code, "volume_broken");
    assert.equal(attach.hint, "sbx volume inspect child");
    assert.equal((await errorOf(home.volumes.create({ slug: "other", from: "base" }))).code, "snapshot_broken");
    assert.equal((await errorOf(home.volumes.snapshot("child", "next"))).code, "volume_broken");
    await findVolumes(home.context, [{ ...mount, volume: "sound" }]);
    // It can be got rid of.
    for (const slug of ["child", "hurt"]) await home.volumes.remove(slug);
    await home.snapshots.remove("base");
  });
}

test("damage inside of a qcow2 file is found by looking at its tables", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  await home.volumes.snapshot("data", "base");
  // The refcounts of its first clusters.
  poke(home.headPath("data"), 2 * 65536, "\0\0\0\0\0\0");
  assert.deepEqual((await home.volumes.get("data")).faults, []);
  assert.equal((await home.volumes.get("data", { verify: true })).faults.length, 1);
});

test("a raw volume whose guest wrote the header of another format stays raw", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "sly", capacityBytes: 16 * MiB });
  run("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", `${home.path}/forged`, "64M");
  poke(home.headPath("sly"), 0, readFileSync(`${home.path}/forged`).subarray(0, 512).toString("latin1"));
  const forged = readFileSync(`${home.path}/forged`).subarray(0, 512);
  const handle = openSync(home.headPath("sly"), "r+");
  writeSync(handle, forged, 0, forged.length, 0);
  closeSync(handle);
  await home.volumes.snapshot("sly", "sly-one");
  const found = await findVolumes(home.context, [{ volume: "sly", path: "/x", access: "read-write" }]);
  const [attachment] = await claimVolumes(home.context, found, home.sandbox());
  assert.deepEqual(
    attachment?.layers.map(({ format }) => format),
    ["raw", "qcow2"],
  );
  const file = `${home.path}/sly.sbxdisk`;
  const { createReadStream } = await import("node:fs");
  await home.snapshots.export("sly-one", { path: file, overwrite: false });
  await home.volumes.import(createReadStream(file), { slug: "sly-two" });
  assert.ok(readFileSync(home.headPath("sly-two")).subarray(0, 512).equals(forged));
  assert.equal(readFileSync(home.headPath("sly-two")).length, 16 * MiB);
});

test("a volume from an image is bootable, and keeps the image from being removed", async (t) => {
  const home = await newDisks(t);
  const imageId = await publishSmallImage(home.context.images.store, { createdAt: 1 });
  await home.context.images.store.setName("default", imageId);
  const volume = await home.volumes.create({ slug: "dev", from: "default", capacityBytes: 64 * MiB });
  assert.deepEqual([volume.isBootable, volume.imageId], [true, imageId]);
  const root = await findRoot(home.context, "dev");
  assert.deepEqual([root.kind, root.imageId, root.sizeBytes], ["volume", imageId, 64 * MiB]);
  assert.deepEqual(
    root.layers.map(({ format }) => format),
    ["raw", "qcow2"],
  );
  assert.deepEqual([...home.state.disks.layers.imagesInUse()], [imageId]);
  assert.deepEqual(imageUsers(home.state.disks, imageId), [{ kind: "volume", name: "dev" }]);
  await home.volumes.remove("dev");
  const users = imageUsers(home.state.disks, imageId);
  assert.deepEqual(users, [{ kind: "removed volume", name: "dev" }], "it can be restored");
  assert.equal(waysToEnd(users), "sbx prune --volumes");
  await home.volumes.restore("dev");
  await home.volumes.create({ slug: "plain", capacityBytes: 16 * MiB });
  const error = await errorOf(findRoot(home.context, "plain"));
  assert.match(error.message, /holds data, and nothing boots from it/);
});

test("volumes outlive their database", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  await home.volumes.snapshot("data", "monday");
  await home.volumes.create({ slug: "copy", from: "monday" });
  await home.volumes.remove("copy");
  const before = await home.volumes.get("data");
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${home.state.paths.databasePath}${suffix}`, { force: true });
  using next = await openDisks(home.path);
  assert.deepEqual(await next.volumes.get("data"), before);
  assert.deepEqual(
    (await next.snapshots.list()).map(({ slug }) => slug),
    ["monday"],
  );
  assert.deepEqual(
    (await next.volumes.list({ removed: true })).map(({ slug }) => slug),
    ["copy"],
  );
  assert.deepEqual(await inconsistencies(next), []);
});

test("a record of volumes that cannot be read is set aside, and no file is touched", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  const files = home.files();
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${home.state.paths.databasePath}${suffix}`, { force: true });
  truncateSync(home.state.paths.cataloguePath, 20);
  for (let time = 0; time < 2; time++) {
    using next = await openState({ SBX_HOME: home.path });
    assert.deepEqual(next.disks.volumes.list(), []);
  }
  assert.deepEqual(home.files(), files);
});
