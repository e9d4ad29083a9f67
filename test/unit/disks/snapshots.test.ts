/** Snapshots never change, carry what was made from them, and are taken of what is in use without losing a write. */
import assert from "node:assert/strict";
import {
  closeSync,
  createReadStream,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { VOLUMES_TARGET, type SnapshotCall } from "../../../src/protocol/disk-calls.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { disksOf } from "../../../src/runtime/local/disks/disks-of-sandbox.ts";
import { claimRoot, findRoot } from "../../../src/runtime/local/disks/sandbox-disks.ts";
import { publishSmallImage } from "../image/small-image.ts";
import { DONE, makeBox, makeUsedVolume, SWITCH } from "./boxes.ts";
import { inconsistencies, MiB, newDisks, openDisks } from "./disk-home.ts";

async function errorOf(promise: Promise<unknown>): Promise<SbxError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof SbxError, `no SbxError: ${String(error)}`);
  return error;
}

function write(file: string, text: string): void {
  const handle = openSync(file, "r+");
  writeSync(handle, text, 8 * MiB);
  closeSync(handle);
}

test("a snapshot is sealed and readable for every sandbox; what is written afterwards goes elsewhere", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  write(home.headPath("data"), "before");
  const before = home.headPath("data");
  const snapshot = await home.snapshots.create("monday", "data");
  assert.deepEqual(snapshot.source, { kind: "volume", id: (await home.volumes.get("data")).id, name: "data" });
  assert.equal(home.snapshotPath("monday"), before, "nothing was moved or copied");
  assert.notEqual(home.headPath("data"), before);
  assert.equal(statSync(before).mode & 0o777, 0o644);
  assert.equal(statSync(home.headPath("data")).mode & 0o777, 0o600);
  assert.equal(
    readFileSync(before)
      .subarray(8 * MiB, 8 * MiB + 6)
      .toString(),
    "before",
  );
  assert.deepEqual(await inconsistencies(home), []);
});

test("what was made from a snapshot keeps it from being removed, and is listed", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  await home.volumes.snapshot("data", "base");
  for (const slug of ["one", "two"]) await home.volumes.create({ slug, from: "base" });
  await home.volumes.snapshot("two", "above");
  const error = await errorOf(home.snapshots.remove("base"));
  assert.equal(error.code, "snapshot_in_use");
  assert.equal(error.message, "snapshot base is what volume two, volume one, snapshot above was made from");
  assert.equal(error.hint, "sbx volume remove two");
  const [tree] = await home.snapshots.tree();
  assert.deepEqual([tree?.slug, tree?.snapshots[0]?.slug], ["base", "above"]);
  assert.deepEqual(tree?.volumes.map(({ slug }) => slug).sort(), ["one", "two"]);
  for (const slug of ["one", "two"]) await home.volumes.remove(slug);
  await home.snapshots.remove("above");
  await home.snapshots.remove("base");
  assert.deepEqual(await inconsistencies(home), []);
});

test("older snapshots of a volume can go before newer ones, which lose nothing", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  write(home.headPath("data"), "in the first");
  for (const slug of ["first", "second", "third"]) await home.volumes.snapshot("data", slug);
  await home.snapshots.remove("first");
  await home.snapshots.remove("second");
  assert.deepEqual((await home.snapshots.get("third")).faults, []);
  await home.snapshots.export("third", { path: `${home.path}/x`, overwrite: false });
  await home.volumes.import(createReadStream(`${home.path}/x`), { slug: "copy" });
  assert.match(
    readFileSync(home.headPath("copy"))
      .subarray(8 * MiB, 9 * MiB)
      .toString(),
    /^in the first/,
  );
  await home.volumes.remove("data");
  home.state.database.exec("UPDATE volumes SET removed_at = 1 WHERE slug = 'data'");
  using next = await openDisks(home.path);
  assert.deepEqual((await next.snapshots.get("third", { verify: true })).faults, []);
  await next.snapshots.remove("third");
  assert.equal(next.files().length, 1);
});

test("a sandbox that runs from a snapshot keeps it; with its end the snapshot is free", async (t) => {
  const home = await newDisks(t);
  const box = await makeBox(t, home, "maker");
  await home.snapshots.create("tools", "maker");
  const root = await findRoot(home.context, "tools");
  assert.deepEqual([root.kind, root.sizeBytes], ["snapshot", 16 * MiB]);
  const user = home.sandbox({ name: "user" });
  await claimRoot(home.context, root, user);
  assert.deepEqual(disksOf(home.state.disks, user), [
    { kind: "snapshot", id: root.id, name: "tools", path: "/", access: "read-only" },
  ]);
  home.endSandbox(box.id);
  const error = await errorOf(home.snapshots.remove("tools"));
  assert.equal(error.message, "snapshot tools is what sandbox user was made from");
  assert.equal(error.hint, "sbx kill user");
  home.endSandbox(user);
  await home.snapshots.remove("tools");
  using next = await openDisks(home.path);
  assert.deepEqual(next.files(), []);
});

test("the root disk of a sandbox: its template's disk is copied once, its own layer has a second name, the rest goes on", async (t) => {
  const home = await newDisks(t);
  const box = await makeBox(t, home, "box");
  const own = path.join(box.directory, "disk.qcow2");
  const first = await home.snapshots.create("first", "box");
  assert.deepEqual([first.isBootable, first.isClean, first.source.kind], [true, true, "sandbox"]);
  assert.equal(statSync(own).ino, statSync(home.snapshotPath("first")).ino);
  await home.snapshots.create("second", "box");
  assert.equal(home.snapshotPath("second"), box.layers()[0], "what it wrote to after the first is what is sealed");
  const { layers } = await findRoot(home.context, "second");
  assert.deepEqual(
    layers.map(({ format }) => format),
    ["raw", "qcow2", "qcow2", "qcow2"],
  );
  const other = await makeBox(t, home, "other");
  assert.equal(home.files().length, 4);
  assert.notEqual(other.id, box.id);
  assert.deepEqual(await inconsistencies(home), []);
  home.endSandbox(box.id);
  using next = await openDisks(home.path);
  assert.equal(next.files().length, 3, "its last layer is gone with it");
  assert.deepEqual(await inconsistencies(next), []);
});

test("a sandbox made from a snapshot is a base for the next one", async (t) => {
  const home = await newDisks(t);
  await makeBox(t, home, "one");
  await home.snapshots.create("tools", "one");
  const two = await makeBox(t, home, "two");
  await claimRoot(home.context, await findRoot(home.context, "tools"), two.id);
  const more = await home.snapshots.create("more-tools", "two");
  assert.equal(more.parent?.slug, "tools");
  const { layers } = await findRoot(home.context, "more-tools");
  // The image; template and layer of the first; template and layer of the second.
  assert.equal(layers.length, 5);
  assert.equal((await home.snapshots.tree())[0]?.snapshots[0]?.slug, "more-tools");
  assert.equal((await errorOf(home.snapshots.remove("tools"))).code, "snapshot_in_use");
});

test("a volume in use: the supervisor is asked to write elsewhere, and what it wrote to until then is sealed", async (t) => {
  const home = await newDisks(t);
  const box = await makeUsedVolume(t, home);
  const before = home.headPath("data");
  const snapshot = await home.volumes.snapshot("data", "monday");
  assert.equal(snapshot.isClean, true);
  const { id } = await home.volumes.get("data");
  assert.deepEqual(box.door.requests[0]?.body, { disk: id, layerPath: home.headPath("data") });
  assert.equal(home.snapshotPath("monday"), before);
  assert.deepEqual(await inconsistencies(home), []);
});

test("a sandbox that runs from a volume: its snapshot is the volume's", async (t) => {
  const home = await newDisks(t);
  const imageId = await publishSmallImage(home.context.images.store);
  await home.volumes.create({ slug: "sys", from: imageId, capacityBytes: 16 * MiB });
  const box = await makeBox(t, home, "box");
  await claimRoot(home.context, await findRoot(home.context, "sys"), box.id);
  const snapshot = await home.snapshots.create("sys-one", "box");
  assert.equal(snapshot.source.name, "sys");
  assert.deepEqual(box.door.requests[0]?.body, { disk: "root", layerPath: home.headPath("sys") });
  assert.deepEqual(await inconsistencies(home), []);
});

for (const kind of ["volume", "root disk"] as const) {
  test(`a supervisor that refuses the snapshot of a ${kind} leaves all as it was`, async (t) => {
    const home = await newDisks(t);
    const box = kind === "volume" ? await makeUsedVolume(t, home) : await makeBox(t, home, "box");
    const files = home.files();
    const refusal = { code: "guest_error", message: "no", hint: "sbx resume" };
    box.door.answers.set(SWITCH, () => ({ status: 500, body: refusal }));
    const error = await errorOf(home.snapshots.create("monday", kind === "volume" ? "data" : "box"));
    assert.deepEqual([error.code, error.message, error.hint], ["guest_error", "no", "sbx resume"]);
    // The copy of the template's disk may stay only if something stands on it.
    assert.deepEqual(home.files(), files);
    assert.deepEqual(await home.snapshots.list(), []);
    assert.deepEqual(await inconsistencies(home), []);
    box.door.answers.set(SWITCH, () => DONE);
    await home.snapshots.create("monday", kind === "volume" ? "data" : "box");
  });

  test(`a supervisor that hangs up on the snapshot of a ${kind}: the next command completes it`, async (t) => {
    const home = await newDisks(t);
    const box = kind === "volume" ? await makeUsedVolume(t, home) : await makeBox(t, home, "box");
    box.door.answers.set(SWITCH, () => ({ body: undefined }));
    const error = await errorOf(home.snapshots.create("monday", kind === "volume" ? "data" : "box"));
    assert.equal(error.code, "supervisor_lost");
    // It does not answer the next one either; that is no reason for it to fail.
    {
      using next = await openDisks(home.path);
      assert.deepEqual(await next.snapshots.list(), []);
    }
    box.door.answers.set(SWITCH, () => DONE);
    using next = await openDisks(home.path);
    // Begun by this process, which lives: whoever began it could still be told.
    assert.deepEqual(
      (await next.snapshots.list()).map(({ slug }) => slug),
      ["monday"],
    );
    assert.equal(new Set(box.layers()).size, 1, "always the same layer");
    assert.deepEqual(await inconsistencies(next), []);
  });
}

for (const kind of ["volume", "root disk"] as const) {
  test(`a snapshot of a ${kind} that could not be recorded after the switch is completed by the next command`, async (t) => {
    const home = await newDisks(t);
    const box = kind === "volume" ? await makeUsedVolume(t, home) : await makeBox(t, home, "box");
    const { layerFiles } = home.state;
    const seal = layerFiles.seal.bind(layerFiles);
    box.door.answers.set(SWITCH, (body) => {
      write((body as SnapshotCall).layerPath, "after");
      layerFiles.seal = async () => Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" }));
      return DONE;
    });
    assert.equal(
      (await errorOf(home.snapshots.create("monday", kind === "volume" ? "data" : "box"))).code,
      "disk_full",
    );
    layerFiles.seal = seal;
    const [layer = ""] = box.layers();
    assert.match(
      readFileSync(layer)
        .subarray(8 * MiB)
        .toString(),
      /^after/,
      "what it writes to is there",
    );
    using next = await openDisks(home.path);
    assert.deepEqual(
      (await next.snapshots.list()).map(({ slug }) => slug),
      ["monday"],
    );
    assert.match(
      readFileSync(layer)
        .subarray(8 * MiB)
        .toString(),
      /^after/,
    );
    assert.deepEqual(await inconsistencies(next), []);
  });

  test(`a switch of a ${kind} that the supervisor refuses later is taken back, and the disk can be used`, async (t) => {
    const home = await newDisks(t);
    const box = kind === "volume" ? await makeUsedVolume(t, home) : await makeBox(t, home, "box");
    box.door.answers.set(SWITCH, () => ({ body: undefined }));
    await errorOf(home.snapshots.create("monday", kind === "volume" ? "data" : "box"));
    box.door.answers.set(SWITCH, () => ({ status: 500, body: { code: "guest_error", message: "no" } }));
    using next = await openDisks(home.path);
    assert.deepEqual(await next.snapshots.list(), []);
    assert.deepEqual(await inconsistencies(next), []);
    box.door.answers.set(SWITCH, () => DONE);
    await next.snapshots.create("monday", kind === "volume" ? "data" : "box");
    assert.deepEqual(await inconsistencies(next), []);
  });
}

test("a volume that has had too many snapshots is told so before it cannot be used any more", async (t) => {
  const home = await newDisks(t);
  const { id } = await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  const { layers, volumes } = home.state.disks;
  home.state.disks.change(() => {
    for (let depth = 1; depth < 200; depth++) {
      const parent = volumes.get(id)?.head ?? "";
      const layer = `lyr_loc_${String(depth).padStart(20, "0")}`;
      layers.begin({ id: layer, parent, baseImage: null, format: "qcow2", sizeBytes: 16 * MiB }, depth);
      layers.open(layer);
      volumes.setHead(id, layer);
    }
  });
  for (const layer of layers.list().filter(({ format }) => format === "qcow2")) {
    await home.state.layerFiles.makeOverlay(layer, 16 * MiB, "qcow2");
  }
  const error = await errorOf(home.volumes.snapshot("data", "one-more"));
  assert.equal(error.code, "unsupported");
  assert.match(error.message, /^volume data has 200 layers/);
  // The way out that is named.
  const file = `${home.path}/x`;
  await home.volumes.export("data", { path: file, overwrite: false });
  await home.volumes.import(createReadStream(file), { slug: "another" });
  await home.volumes.snapshot("another", "one-more");
});

test("a volume in use grows; where only its disk did, that is kept, and where nothing did, nothing is", async (t) => {
  const home = await newDisks(t);
  const box = await makeUsedVolume(t, home);
  const { id } = await home.volumes.get("data");
  const target = `PATCH ${VOLUMES_TARGET}/${id}`;
  box.door.answers.set(target, () => ({ status: 500, body: { code: "guest_error", message: "no" } }));
  assert.equal((await errorOf(home.volumes.resize("data", 32 * MiB))).message, "no");
  assert.equal((await home.volumes.get("data")).capacityBytes, 16 * MiB);
  box.door.answers.set(target, () => {
    truncateSync(home.headPath("data"), 32 * MiB);
    return { status: 500, body: { code: "guest_error", message: "the file system did not grow" } };
  });
  await errorOf(home.volumes.resize("data", 32 * MiB));
  assert.equal((await home.volumes.get("data")).capacityBytes, 32 * MiB);
  assert.deepEqual(await inconsistencies(home), []);
  box.door.answers.set(target, (body) => {
    truncateSync(home.headPath("data"), (body as { capacityBytes: number }).capacityBytes);
    return { body: {} };
  });
  await home.volumes.resize("data", 33_000_001 + 16 * MiB);
  assert.equal((await home.volumes.get("data")).capacityBytes, 33_000_001 + 16 * MiB);
  assert.deepEqual(await inconsistencies(home), []);
});

test("a layer on another file system is copied, whatever a killed copy has left", async (t) => {
  const home = await newDisks(t);
  const source = `/dev/shm/sbx-unit-${process.pid}`;
  t.after(() => rmSync(source, { force: true }));
  writeFileSync(source, "all of it");
  const layer = { id: "lyr_loc_00000000000000000000", format: "qcow2" } as const;
  const { layerFiles } = home.state;
  mkdirSync(layerFiles.directory, { recursive: true });
  writeFileSync(layerFiles.pathOf(layer), "all");
  for (let time = 0; time < 2; time++) {
    assert.equal(readFileSync(await layerFiles.linkFrom(layer, source), "utf8"), "all of it");
  }
});

test("a volume whose sandbox died in the middle of a snapshot keeps what was written to either layer", async (t) => {
  const home = await newDisks(t);
  const box = await makeUsedVolume(t, home);
  const before = home.headPath("data");
  box.door.answers.set(SWITCH, (body) => {
    // It has switched, and the guest has written; then both it and the command that asked are gone.
    write((body as SnapshotCall).layerPath, "to the new one");
    return { body: undefined };
  });
  await errorOf(home.volumes.snapshot("data", "monday"));
  home.endSandbox(box.id);
  using next = await openDisks(home.path);
  assert.equal(next.headPath("data"), box.layers()[0]);
  assert.match(
    readFileSync(next.headPath("data"))
      .subarray(8 * MiB)
      .toString(),
    /^to the new one/,
  );
  assert.equal(next.snapshotPath("monday"), before);
  assert.equal((await next.snapshots.get("monday")).isClean, false);
  assert.deepEqual(await inconsistencies(next), []);
});

test("a root disk whose sandbox died in the middle of a snapshot is gone with it, and so is the snapshot", async (t) => {
  const home = await newDisks(t);
  const box = await makeBox(t, home, "box");
  box.door.answers.set(SWITCH, () => ({ body: undefined }));
  await errorOf(home.snapshots.create("monday", "box"));
  home.endSandbox(box.id);
  home.state.database.exec(
    "UPDATE snapshots SET maker_start = '1'; UPDATE layers SET maker_start = '1' WHERE maker_pid > 0",
  );
  using next = await openDisks(home.path);
  assert.deepEqual([next.files(), await next.snapshots.list()], [[], []]);
});

test("of a sandbox whose template is gone no snapshot can be taken, and it is said why", async (t) => {
  const home = await newDisks(t);
  await makeBox(t, home, "box");
  rmSync(path.join(home.state.paths.templatesPath, "key-box"), { recursive: true });
  const error = await errorOf(home.snapshots.create("monday", "box"));
  assert.deepEqual(
    [error.code, error.message],
    ["unsupported", "the template that sandbox box was started from is gone"],
  );
  assert.deepEqual(home.files(), []);
});

test("what is neither a volume nor a sandbox is named so, and a snapshot for what it is", async (t) => {
  const home = await newDisks(t);
  const unknown = await errorOf(home.snapshots.create("monday", "nope"));
  assert.deepEqual(
    [unknown.code, unknown.message, unknown.hint],
    ["volume_not_found", 'there is neither a volume nor a running sandbox "nope"', "sbx volume list, or sbx list"],
  );
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  await home.snapshots.create("monday", "data");
  assert.match(
    (await errorOf(home.snapshots.create("tuesday", "monday"))).message,
    /is a snapshot, which never changes/,
  );
});

test("a name that is both a volume's and a sandbox's has to be said more exactly", async (t) => {
  const home = await newDisks(t);
  const { id } = await home.volumes.create({ slug: "box", capacityBytes: 16 * MiB });
  await makeBox(t, home, "box");
  assert.equal((await errorOf(home.snapshots.create("monday", "box"))).code, "usage");
  assert.equal((await home.snapshots.create("monday", id)).source.kind, "volume");
});

test("a whole name means the volume, or the sandbox, that has it, whatever begins like that", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "dev", capacityBytes: 16 * MiB });
  await home.volumes.create({ slug: "web-data", capacityBytes: 16 * MiB });
  await makeBox(t, home, "dev-box");
  await makeBox(t, home, "web");
  assert.equal((await home.snapshots.create("monday", "dev")).source.kind, "volume");
  assert.equal((await home.snapshots.create("tuesday", "web")).source.kind, "sandbox");
});
