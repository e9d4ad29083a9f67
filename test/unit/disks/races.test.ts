/** What another command, or the end of a sandbox, does between two steps of one with disks costs nobody anything. */
import assert from "node:assert/strict";
import { closeSync, createReadStream, openSync, readFileSync, writeSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { SnapshotCall } from "../../../src/protocol/disk-calls.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { exportVolume } from "../../../src/runtime/local/disks/export-disk.ts";
import { collectGarbage } from "../../../src/runtime/local/disks/garbage.ts";
import { pruneDisks } from "../../../src/runtime/local/disks/prune-disks.ts";
import { settleDisks } from "../../../src/runtime/local/disks/settle.ts";
import { makeBox, makeUsedVolume, SWITCH } from "./boxes.ts";
import { inconsistencies, MiB, newDisks, openDisks, type DiskHome } from "./disk-home.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** Has something done before the next change of the tables, or before each. */
function beforeChange({ state }: DiskHome, work: () => unknown, times = Infinity): void {
  const { disks } = state;
  const change = disks.change.bind(disks);
  let busy = false;
  disks.change = (...args) => {
    if (!busy && times > 0) {
      times -= 1;
      busy = true;
      work();
      busy = false;
    }
    return change(...args);
  };
}

function textOf(file: string): string {
  return readFileSync(file)
    .subarray(8 * MiB)
    .toString()
    .replace(/\0.*$/s, "");
}

function write(file: string, text: string): void {
  const handle = openSync(file, "r+");
  writeSync(handle, text, 8 * MiB);
  closeSync(handle);
}

test("a volume that is brought back in the moment in which its day is over stays", async (t) => {
  const home = await newDisks(t);
  const { id } = await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  await home.volumes.remove("data");
  const before = Date.now() - DAY_MS - 1;
  home.state.database.prepare("UPDATE volumes SET removed_at = ? WHERE id = ?").run(before, id);
  beforeChange(home, () => home.state.disks.volumes.restore(id, "data"), 1);
  await settleDisks(home.state, Date.now());
  assert.equal((await home.volumes.get("data")).id, id);
  assert.deepEqual((await home.volumes.get("data")).faults, []);
});

test("a volume that is brought back while removed ones are pruned stays", async (t) => {
  const home = await newDisks(t);
  for (const slug of ["data", "other"]) {
    await home.volumes.create({ slug, capacityBytes: 16 * MiB });
    await home.volumes.remove(slug);
  }
  const failed: string[] = [];
  await pruneDisks(home.state, { dryRun: false, volumes: true }, async (_kind, id, _bytes, work) => {
    // Its turn has come, and somebody was quicker.
    const row = home.state.disks.volumes.get(id);
    if (row?.slug === "data") await home.volumes.restore(id);
    try {
      await work();
    } catch (error) {
      failed.push((error as Error).message);
    }
  });
  assert.deepEqual((await home.volumes.get("data")).faults, []);
  assert.deepEqual(failed, ["volume data was restored meanwhile"]);
  assert.deepEqual(await home.volumes.list({ removed: true }), []);
  assert.deepEqual(await inconsistencies(home), []);
});

test("whoever removes garbage between two steps takes nothing that a snapshot is about to stand on", async (t) => {
  const home = await newDisks(t);
  await makeBox(t, home, "box");
  const collected: Promise<unknown>[] = [];
  // Up to its first wait, which is after layers were marked; the rest follows.
  beforeChange(home, () => collected.push(collectGarbage(home.state)));
  await home.snapshots.create("monday", "box");
  await home.snapshots.create("tuesday", "box");
  await Promise.all(collected);
  for (const slug of ["monday", "tuesday"]) assert.deepEqual((await home.snapshots.get(slug)).faults, []);
  assert.deepEqual(await inconsistencies(home), []);
});

test("a refused snapshot that cannot be taken back on a full disk leaves a volume that outlives its sandbox", async (t) => {
  const home = await newDisks(t);
  const box = await makeUsedVolume(t, home);
  const head = home.headPath("data");
  const { disks } = home.state;
  const change = disks.change.bind(disks);
  box.door.answers.set(SWITCH, () => {
    disks.change = () => {
      throw new SbxError("disk_full", "full");
    };
    return { status: 500, body: { code: "guest_error", message: "no" } };
  });
  await assert.rejects(home.volumes.snapshot("data", "monday"), /^SbxError: no$|no/);
  disks.change = change;
  home.endSandbox(box.id);
  using next = await openDisks(home.path);
  assert.deepEqual((await next.volumes.get("data")).faults, []);
  assert.equal(next.headPath("data"), head);
  assert.deepEqual(await next.snapshots.list(), []);
  assert.deepEqual(await inconsistencies(next), []);
});

test("what was written after a switch is kept although the sandbox is ending when the next command asks", async (t) => {
  const home = await newDisks(t);
  const box = await makeUsedVolume(t, home);
  box.door.answers.set(SWITCH, (body) => {
    write((body as SnapshotCall).layerPath, "after");
    return { body: undefined };
  });
  await assert.rejects(home.volumes.snapshot("data", "monday"));
  box.door.answers.set(SWITCH, () => ({
    status: 500,
    body: { code: "sandbox_stopped", message: "the sandbox is not running" },
  }));
  {
    using next = await openDisks(home.path);
    assert.deepEqual(await next.snapshots.list(), []);
  }
  home.endSandbox(box.id);
  using next = await openDisks(home.path);
  assert.equal(textOf(next.headPath("data")), "after");
  assert.deepEqual(
    (await next.snapshots.list()).map(({ slug }) => slug),
    ["monday"],
  );
  assert.deepEqual(await inconsistencies(next), []);
});

test("an export holds what was written last, also where a snapshot came between", async (t) => {
  const home = await newDisks(t);
  await home.volumes.create({ slug: "data", capacityBytes: 16 * MiB });
  write(home.headPath("data"), "before");
  const { disks } = home.state;
  const [row] = disks.volumes.listReady();
  assert.ok(row);
  const sink = { path: path.join(home.path, "x"), overwrite: false };
  await home.volumes.snapshot("data", "monday");
  await home.volumes.resize("data", 32 * MiB);
  await exportVolume(home.context, row, sink, {});
  await home.volumes.import(createReadStream(sink.path), { slug: "again" });
  assert.equal((await home.volumes.get("again")).capacityBytes, 32 * MiB);
  assert.equal(textOf(home.headPath("again")), "before");
});

test("a volume whose snapshot is still to be completed is not exported without what was written since", async (t) => {
  const home = await newDisks(t);
  const box = await makeUsedVolume(t, home);
  box.door.answers.set(SWITCH, () => ({ body: undefined }));
  await assert.rejects(home.volumes.snapshot("data", "monday"));
  home.endSandbox(box.id);
  const sink = { path: path.join(home.path, "x"), overwrite: false };
  await assert.rejects(home.volumes.export("data", sink), /what was begun with volume data is not finished/);
  assert.deepEqual(home.state.disks.claims.list(), []);
  using next = await openDisks(home.path);
  await next.volumes.export("data", sink);
});
