/** The records of disks: who has what, what is garbage, and that they outlive the database. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { ownIdentity } from "../../../src/host/process-identity.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { openDatabase } from "../../../src/store/database.ts";
import { DISK_NAME, newLayerId, newVolumeId } from "../../../src/store/disks/disk-names.ts";
import { DiskStore } from "../../../src/store/disks/disk-store.ts";
import { SandboxStore } from "../../../src/store/sandbox-store.ts";
import { sampleSandbox } from "./sample-sandbox.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const DEAD = { pid: 2 ** 22 + 1, start: "1" };

interface Fixture {
  disks: DiskStore;
  sandboxes: SandboxStore;
  database: ReturnType<typeof openDatabase>;
  cataloguePath: string;
}

function open(t: TestContext, directory = temporaryDirectory(t), name = "sbx.db"): Fixture {
  const database = openDatabase(path.join(directory, name));
  t.after(() => database.close());
  const cataloguePath = path.join(directory, "layers", "catalogue.json");
  return {
    database,
    cataloguePath,
    disks: new DiskStore(database, cataloguePath),
    sandboxes: new SandboxStore(database),
  };
}

function addVolume(
  disks: DiskStore,
  slug: string,
  parent: string | null = null,
): { id: string; slug: string; head: string } {
  const [id, head] = [newVolumeId(), newLayerId()];
  disks.change(() => {
    disks.layers.begin({ id: head, parent, baseImage: null, format: "raw", sizeBytes: 512 }, 1);
    disks.volumes.begin({ id, slug, capacityBytes: 512, head, imageId: null, base: null }, 1);
    disks.layers.open(head);
    disks.volumes.ready(id);
  });
  return { id, slug, head };
}

function addSandbox(sandboxes: SandboxStore): string {
  const row = sampleSandbox();
  sandboxes.insert(row);
  sandboxes.transition(row.id, "running", { supervisor: ownIdentity() });
  return row.id;
}

test("names have 2 to 32 characters, no dash at an end, and no Punycode prefix", () => {
  for (const name of ["ab", "a1", "0-0", "a-b-c", "a--b", "abc--d", "a".repeat(32)]) assert.match(name, DISK_NAME);
  for (const name of ["a", "-a", "a-", "ab--c", "xn--a", "A1", "a.b", "a_b", "", "a".repeat(33), "ab\n"]) {
    assert.doesNotMatch(name, DISK_NAME);
  }
});

test("a claim counts while its holder lives: a sandbox by its record, a process by its start", (t) => {
  const { disks, sandboxes, database } = open(t);
  const volume = addVolume(disks, "data");
  const box = addSandbox(sandboxes);
  disks.change(() => disks.claims.claim(volume, box, "read-write", "/data"));
  assert.deepEqual(
    disks.claims.of(volume.id).map(({ holder, path: at }) => [holder, at]),
    [[box, "/data"]],
  );
  sandboxes.transition(box, "stopped", { stoppedAt: 1, reason: "killed" });
  assert.deepEqual(disks.claims.of(volume.id), []);
  assert.equal(disks.claims.hasStale(), true);
  const holder = disks.change(() => disks.claims.claimForProcess(volume, "read-only", "volume export"));
  assert.equal(holder, `sbx volume export (process ${process.pid})`);
  const other = addSandbox(sandboxes);
  assert.throws(
    () => disks.change(() => disks.claims.claim(volume, other, "read-write", "/data")),
    (error: unknown) => error instanceof SbxError && error.code === "volume_in_use" && error.message.includes(holder),
  );
  database.prepare("UPDATE claims SET pid = ?, start = ? WHERE pid NOT NULL").run(DEAD.pid, DEAD.start);
  disks.change(() => disks.claims.claim(volume, other, "read-write", "/data"));
  disks.change(() => disks.claims.dropStale());
  assert.equal(database.prepare("SELECT count(*) AS n FROM claims").get()?.n, 1);
  disks.claims.release(other);
  assert.deepEqual(disks.claims.list(), []);
});

test("a sandbox cannot have one volume twice, not even to read", (t) => {
  const { disks, sandboxes } = open(t);
  const volume = addVolume(disks, "data");
  const box = addSandbox(sandboxes);
  disks.change(() => disks.claims.claim(volume, box, "read-only", "/a"));
  assert.throws(() => disks.change(() => disks.claims.claim(volume, box, "read-only", "/b")), {
    code: "volume_in_use",
  });
});

test("garbage is what nothing refers to, directly or from above; what somebody makes is none", (t) => {
  const { disks, sandboxes, database } = open(t);
  const below = addVolume(disks, "below");
  const above = addVolume(disks, "above", below.head);
  disks.change(() => disks.volumes.forget(below.id));
  assert.deepEqual(disks.layers.findGarbage(), []);
  const making = newLayerId();
  disks.change(() => {
    disks.layers.begin({ id: making, parent: null, baseImage: null, format: "raw", sizeBytes: 512 }, 1);
  });
  assert.deepEqual(disks.layers.findGarbage(), []);
  database.prepare("UPDATE layers SET maker_pid = ?, maker_start = ? WHERE id = ?").run(DEAD.pid, DEAD.start, making);
  assert.deepEqual(
    disks.layers.abandoned().map(({ id }) => id),
    [making],
  );
  disks.change(() => disks.layers.disown(making));
  const box = addSandbox(sandboxes);
  const shape = { hasTemplate: true, snapshotId: null, head: null, next: null };
  disks.change(() => {
    disks.claims.setDisk({ sandboxId: box, base: below.head, ...shape });
    disks.volumes.forget(above.id);
  });
  const ids = (): string[] => disks.layers.findGarbage().map(({ id }) => id);
  assert.deepEqual(ids().sort(), [making, above.head].sort());
  sandboxes.transition(box, "stopped", { stoppedAt: 1, reason: "killed" });
  assert.deepEqual(ids().sort(), [making, above.head, below.head].sort());
});

test("a layer that is doomed is nobody's to begin with any more", (t) => {
  const { disks } = open(t);
  const id = newLayerId();
  disks.change(() => {
    const shape = { parent: null, baseImage: null, format: "qcow2", sizeBytes: 512, templateKey: "key" } as const;
    disks.layers.begin({ id, ...shape }, 1);
    disks.layers.seal(id, { sizeBytes: 1, mtimeNs: "1" });
  });
  assert.equal(disks.layers.ofTemplate("key")?.id, id);
  disks.change(() => disks.layers.doomGarbage());
  assert.equal(disks.layers.ofTemplate("key"), undefined);
  assert.equal(disks.layers.get(id)?.state, "doomed");
  // Whoever does it all the same keeps nobody from removing the rest.
  disks.change(() => disks.checkpoints.begin({ id: "chk_1", name: "late", directory: "/late", spec: "{}" }, 1));
  disks.change(() => disks.checkpoints.hold("chk_1", id));
  const other = addVolume(disks, "other");
  disks.change(() => disks.volumes.forget(other.id));
  assert.deepEqual(
    disks.change(() => disks.layers.doomGarbage()).map((layer) => layer.id),
    [other.head],
  );
});

test("a change happens as a whole or not at all, in the tables and in the catalogue", (t) => {
  const { disks, cataloguePath } = open(t);
  addVolume(disks, "kept");
  const before = readFileSync(cataloguePath, "utf8");
  assert.throws(() =>
    disks.change(() => {
      disks.volumes.forget(disks.volumes.list()[0]?.id ?? "");
      throw new Error("no");
    }),
  );
  assert.deepEqual(
    disks.volumes.listReady().map(({ slug }) => slug),
    ["kept"],
  );
  assert.equal(readFileSync(cataloguePath, "utf8"), before);
});

test("a change is on the host's disk when it is made, and other tables do not wait for that", (t) => {
  const { database, disks } = open(t);
  const synchronous = (): unknown => database.prepare("PRAGMA synchronous").get()?.synchronous;
  assert.equal(
    disks.change(() => synchronous()),
    2,
    "FULL: a commit waits for the disk",
  );
  assert.equal(synchronous(), 1);
  assert.throws(() =>
    disks.change(() => {
      throw new Error("no");
    }),
  );
  assert.equal(synchronous(), 1);
});

test("an empty database is filled from the catalogue, one that is not is left alone", (t) => {
  const directory = temporaryDirectory(t);
  const first = open(t, directory);
  const volume = addVolume(first.disks, "data");
  const second = open(t, directory, "second.db");
  second.disks.restore();
  assert.deepEqual(second.disks.volumes.get(volume.id), first.disks.volumes.get(volume.id));
  assert.deepEqual(second.disks.layers.list(), first.disks.layers.list());
  addVolume(second.disks, "more");
  first.disks.restore();
  assert.equal(first.disks.volumes.list().length, 1);
});

for (const [what, text] of [
  ["cut off", '{"schema":1,"tab'],
  ["of another form", '{"schema":1,"tables":{"layers":[{"id; DROP TABLE layers":1}]}}'],
  ["about unknown tables", '{"schema":1,"tables":{"sandboxes":[]}}'],
  ["of a later version", '{"schema":2,"tables":{}}'],
  ["contradictory", catalogueWithoutLayers()],
] as const) {
  test(`a catalogue that is ${what} is set aside as a whole`, (t) => {
    const directory = temporaryDirectory(t);
    const { disks, cataloguePath } = open(t, directory);
    addVolume(disks, "first");
    writeFileSync(cataloguePath, text);
    const next = open(t, directory, "next.db");
    next.disks.restore();
    assert.equal(next.disks.isEmpty(), true);
    assert.equal(existsSync(cataloguePath), false);
  });
}

/** A volume whose head nobody knows. */
function catalogueWithoutLayers(): string {
  const volume = { id: "vol_loc_0", slug: "aa", capacity: 1, created_at: 1, state: "ready", head: "lyr_loc_0" };
  const tables = { layers: [], volumes: [volume], snapshots: [], checkpoints: [], claims: [], sandbox_disks: [] };
  return JSON.stringify({ schema: 1, tables });
}
