/** Volumes and snapshots through a control plane: the same answers and errors as beside it, within the quotas. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough, type Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { test, type TestContext } from "node:test";
import type { ExportReport, ExportTarget } from "../../../src/runtime/disks.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { openRemoteRuntime } from "../../../src/runtime/remote/index.ts";
import { snapshotInfo, volumeInfo } from "../../fake-disks.ts";
import { openRemoteBench } from "./remote-bench.ts";

const MB = 1_000_000;

/** Bytes that are not the same everywhere, and more than one piece. */
const CONTENT = Buffer.from(Array.from({ length: 700_001 }, (_, index) => (index * 7919) % 251));
const REPORT: ExportReport = { contentBytes: 5, fileBytes: CONTENT.length, sha256: "c".repeat(64) };

async function writeTo(target: ExportTarget, bytes: Buffer): Promise<void> {
  const stream = target as Writable;
  if (!stream.write(bytes)) await new Promise((resolve) => stream.once("drain", resolve));
}

function directory(t: TestContext): string {
  const made = mkdtempSync(path.join(tmpdir(), "sbx-unit-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test("a volume is the same seen through a server: its holders, its base, its faults", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const volume = volumeInfo({
    baseSnapshot: { id: "snp_loc_x", slug: "tools" },
    holders: [{ id: "sbx_loc_x", name: "web", access: "read-write", path: "/data" }],
    faults: ["/srv/layers/a.qcow2 has other bytes"],
  });
  runtime.volumes.volumes = [volume, volumeInfo({ id: "vol_loc_old", slug: "old", removedAt: 1, restorableUntil: 2 })];
  assert.deepEqual(await remote.volumes.list(), [volume]);
  assert.deepEqual(await remote.volumes.get("data", { verify: true }), volume);
  assert.deepEqual(runtime.volumes.calls, [["get", "data", true]]);
  assert.deepEqual(
    (await remote.volumes.list({ removed: true })).map(({ slug }) => slug),
    ["old"],
  );
  assert.equal((await remote.volumes.restore("old", { slug: "new" })).slug, "new");
});

test("another organisation is not told which files of the server are damaged", async (t) => {
  const { organisations, machine, makeToken, url } = await openRemoteBench(t);
  organisations.of("acme").volumes.volumes = [volumeInfo({ faults: ["/srv/layers/a.qcow2 has other bytes"] })];
  const token = makeToken({ organisations: ["acme"] });
  await using remote = await openRemoteRuntime({ endpoint: url, token, machine });
  assert.deepEqual((await remote.volumes.get("data")).faults, ["the server's files of it are damaged"]);
});

test("what fails there fails here with the same code, message and hint", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.volumes.volumes = [volumeInfo()];
  const cases: [Promise<unknown>, string, RegExp][] = [
    [remote.volumes.get("nothing"), "volume_not_found", /nothing/],
    [remote.volumes.create({ slug: "data", capacityBytes: 300 * MB }), "name_in_use", /there is a volume data already/],
    [remote.snapshots.get("nothing"), "snapshot_not_found", /nothing/],
  ];
  for (const [call, code, message] of cases) {
    await assert.rejects(call, (error: SbxError) => error.code === code && message.test(error.message));
  }
});

test("quotas hold for everything that makes a volume or grows one", async (t) => {
  const quotas = { volumes: "1GB", maxVolume: "800MB", minVolume: "300MB" };
  const { remote, runtime } = await openRemoteBench(t, { config: { quotas } });
  await remote.volumes.create({ slug: "one", capacityBytes: 600 * MB });
  runtime.volumes.volumes = runtime.volumes.volumes.map((volume) => ({ ...volume, id: "vol_loc_one" }));
  const tooMuch = { message: /all volumes together may have 1000000000 bytes/ };
  await assert.rejects(remote.volumes.create({ slug: "two", capacityBytes: 600 * MB }), tooMuch);
  await assert.rejects(remote.volumes.create({ slug: "two", capacityBytes: 900 * MB }), {
    message: /from 300000000 to 800000000/,
  });
  await assert.rejects(remote.volumes.resize("one", 900 * MB), { message: /from 300000000 to 800000000/ });
  runtime.snapshots.snapshots = [snapshotInfo({ sizeBytes: 600 * MB })];
  await assert.rejects(remote.volumes.create({ slug: "two", from: "tools" }), tooMuch);
  // As large as the server's runtime makes it, which is known when it is there: then it goes again.
  await assert.rejects(remote.volumes.create({ slug: "two", from: "default" }), {
    message: /from 300000000 to 800000000/,
  });
  runtime.volumes.volumes.push(volumeInfo({ id: "vol_loc_y", slug: "gone", capacityBytes: 500 * MB, removedAt: 1 }));
  await assert.rejects(remote.volumes.restore("gone"), tooMuch);
  assert.deepEqual(
    runtime.volumes.volumes.filter(({ removedAt }) => removedAt === null).map(({ slug }) => slug),
    ["one"],
  );
});

test("a tree of snapshots keeps its shape", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const row = (id: string) => ({ id, slug: id, createdAt: 1, sizeBytes: 2, allocatedBytes: 3 });
  runtime.snapshots.trees = [
    {
      ...row("a"),
      volumes: [{ id: "v", slug: "v" }],
      sandboxes: [{ id: "s", name: null }],
      snapshots: [{ ...row("b"), volumes: [], sandboxes: [], snapshots: [] }],
    },
    { ...row("c"), volumes: [], sandboxes: [], snapshots: [] },
  ];
  assert.deepEqual(await remote.snapshots.tree(), runtime.snapshots.trees);
});

test("an export arrives byte for byte, in a stream and in a file of one's own", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.volumes.export = async (_ref, target) => {
    await writeTo(target, CONTENT);
    return REPORT;
  };
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  assert.deepEqual(await remote.volumes.export("data", stream), REPORT);
  assert.ok(!stream.writableEnded, "the stream is the caller's to end");
  stream.end();
  await finished(stream);
  assert.ok(Buffer.concat(chunks).equals(CONTENT));
  const file = path.join(directory(t), "data.sbxdisk");
  assert.deepEqual(await remote.volumes.export("data", { path: file, overwrite: false }), REPORT);
  assert.ok(readFileSync(file).equals(CONTENT));
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await assert.rejects(remote.volumes.export("data", { path: file, overwrite: false }), { code: "file_error" });
  await remote.volumes.export("data", { path: file, overwrite: true });
  assert.deepEqual(readdirSync(path.dirname(file)), ["data.sbxdisk"]);
});

test("an export that fails in its middle, or is broken off, leaves no file", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const file = path.join(directory(t), "tools.sbxdisk");
  const target = { path: file, overwrite: false };
  runtime.snapshots.export = async (_ref, into) => {
    await writeTo(into, CONTENT);
    throw new SbxError("snapshot_broken", "/var/lib/tools is damaged");
  };
  await assert.rejects(remote.snapshots.export("tools", target), {
    code: "snapshot_broken",
    message: /^the snapshot is damaged/,
  });
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const stop = new AbortController();
  // A stream that nobody reads any more is destroyed, which ends the server's export.
  runtime.snapshots.export = async (_ref, into) => {
    begun.resolve();
    (into as Writable).once("close", () => ended.resolve());
    await writeTo(into, CONTENT);
    return new Promise(() => undefined);
  };
  const exporting = remote.snapshots.export("tools", target, { signal: stop.signal });
  await begun.promise;
  stop.abort();
  await assert.rejects(exporting, { code: "aborted" });
  await ended.promise;
  assert.ok(!existsSync(file));
  assert.deepEqual(readdirSync(path.dirname(file)), []);
});
