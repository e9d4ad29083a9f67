/** Events: written with what they tell of, in order, bounded, and of nothing that was taken back. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import type { EventRecord } from "../../../src/protocol/event-record.ts";
import { APP_TABLE_NAMES } from "../../../src/store/apps/app-tables.ts";
import { inTransaction, openDatabase } from "../../../src/store/database.ts";
import { CheckpointStore } from "../../../src/store/disks/checkpoint-store.ts";
import { ClaimStore } from "../../../src/store/disks/claim-store.ts";
import { LayerStore } from "../../../src/store/disks/layer-store.ts";
import { SnapshotStore } from "../../../src/store/disks/snapshot-store.ts";
import { VolumeStore } from "../../../src/store/disks/volume-store.ts";
import { EventStore } from "../../../src/store/events/event-store.ts";
import { EVENT_AGE_MS, RING_ROWS } from "../../../src/store/events/event-tables.ts";
import { SandboxStore } from "../../../src/store/sandbox-store.ts";
import { sampleSandbox } from "./sample-sandbox.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

function open(t: TestContext): { database: DatabaseSync; sandboxes: SandboxStore; events: EventStore } {
  const database = openDatabase(path.join(temporaryDirectory(t), "sbx.db"));
  t.after(() => database.close());
  return { database, sandboxes: new SandboxStore(database), events: new EventStore(database) };
}

function all(events: EventStore): EventRecord[] {
  const found: EventRecord[] = [];
  for (let after = 0; ;) {
    const page = events.read({ after });
    found.push(...page.events);
    if (page.last === after) return found;
    after = page.last;
  }
}

const types = (events: EventStore): string[] => all(events).map(({ type }) => type);

test("each step of a sandbox's life is an event, and what changes nothing is none", (t) => {
  const { sandboxes, events } = open(t);
  const row = sampleSandbox({ name: "web" });
  const before = Date.now();
  sandboxes.insert(row);
  sandboxes.transition(row.id, "running", { startedAt: 1, expiresAt: 1000 });
  sandboxes.amend(row.id, { isPaused: true });
  sandboxes.amend(row.id, { isPaused: true });
  sandboxes.amend(row.id, { isPaused: false });
  sandboxes.amend(row.id, { expiresAt: 1001 });
  sandboxes.amend(row.id, { expiresAt: 90_000 });
  sandboxes.amend(row.id, { vmPid: 7 });
  sandboxes.transition(row.id, "stopping", { reason: "crashed", detail: "x".repeat(5000) });
  sandboxes.transition(row.id, "stopped", { stoppedAt: 2 });
  sandboxes.transition(row.id, "stopped", { stoppedAt: 3 });
  const found = all(events);
  assert.deepEqual(
    found.map(({ type }) => type.replace("sandbox.", "")),
    ["created", "running", "paused", "resumed", "extended", "stopping", "stopped"],
  );
  assert.deepEqual(
    found.map(({ seq }) => seq),
    [...found.map(({ seq }) => seq)].sort((a, b) => a - b),
  );
  assert.ok(found.every(({ sandbox }) => sandbox?.id === row.id && sandbox.name === "web"));
  assert.ok(found.every(({ time }) => time >= before - 1 && time <= Date.now() + 1));
  assert.deepEqual(found[0]?.detail, { image: "default", memoryBytes: 1024 ** 3, cpus: 2 });
  assert.deepEqual(found[4]?.detail, { expiresAt: 90_000 });
  assert.deepEqual(found[6]?.detail, { reason: "crashed", detail: "x".repeat(500) });
});

test("a start that failed is told with its reason", (t) => {
  const { sandboxes, events } = open(t);
  const row = sampleSandbox();
  sandboxes.insert(row);
  sandboxes.transition(row.id, "failed", { reason: "start_failed", detail: "no room" });
  const last = all(events).at(-1);
  assert.equal(last?.type, "sandbox.failed");
  assert.deepEqual(last.detail, { reason: "start_failed", detail: "no room" });
});

test("what is rolled back has no event", (t) => {
  const { database, sandboxes, events } = open(t);
  assert.throws(() =>
    inTransaction(database, () => {
      sandboxes.insert(sampleSandbox());
      throw new Error("no");
    }),
  );
  assert.deepEqual(types(events), []);
});

test("volumes, snapshots and checkpoints: there when they are complete, gone once", (t) => {
  const { database, sandboxes, events } = open(t);
  const [layers, volumes, claims] = [new LayerStore(database), new VolumeStore(database), new ClaimStore(database)];
  const row = sampleSandbox({ name: "web" });
  sandboxes.insert(row);
  inTransaction(database, () => {
    layers.begin({ id: "l1", parent: null, baseImage: null, format: "qcow2", sizeBytes: 1 }, 1);
    const volume = { id: "v1", slug: "data", capacityBytes: 10, head: "l1", imageId: null, base: null };
    volumes.begin(volume, 1);
  });
  volumes.ready("v1");
  claims.claim({ id: "v1", slug: "data" }, row.id, "read-write", "/data");
  claims.release(row.id);
  claims.claimForProcess({ id: "v1", slug: "data" }, "read-only", "export");
  volumes.beginGrowth("v1", 20);
  volumes.endGrowth("v1");
  volumes.markRemoved("v1", 5);
  volumes.restore("v1", "data");
  const snapshots = new SnapshotStore(database);
  const source = { kind: "volume", id: "v1", name: "data" } as const;
  snapshots.begin(
    { id: "s1", slug: "first", layer: "l1", sizeBytes: 1, imageId: null, source, parentId: null, isClean: true },
    1,
  );
  snapshots.ready("s1");
  snapshots.forget("s1");
  const checkpoints = new CheckpointStore(database);
  for (const id of ["c1", "c2"]) checkpoints.begin({ id, name: id, directory: "/nowhere", spec: "{}" }, 1);
  checkpoints.ready("c1", "l1", "{}");
  checkpoints.doom("c1");
  checkpoints.forget("c1");
  checkpoints.forget("c2");
  volumes.forget("v1");
  const found = all(events).filter(({ type }) => type !== "sandbox.created");
  assert.deepEqual(
    found.map(({ type, subject }) => `${type} ${subject?.name ?? ""}`),
    [
      ...["volume.created data", "volume.attached data", "volume.detached data", "volume.grown data"],
      ...["volume.removed data", "volume.restored data", "snapshot.created first", "snapshot.removed first"],
      ...["checkpoint.created c1", "checkpoint.removed c1", "volume.purged data"],
    ],
  );
  assert.deepEqual(found[1]?.sandbox, { id: row.id, name: "web" });
  assert.deepEqual(found[1].detail, { path: "/data", access: "read-write" });
});

test("reading goes on behind a number, and picks types, a sandbox and a time", (t) => {
  const { events } = open(t);
  const sandbox = { id: "a", name: null };
  events.append([
    { time: 1000, type: "process.started", sandbox, detail: { pid: 1, program: "p".repeat(900) } },
    { time: 2000, type: "secret.granted", sandbox: { id: "b", name: "web" }, detail: { names: ["KEY"] } },
    { time: 3000, type: "process.ended", sandbox, detail: { pid: 1, code: 0 } },
  ]);
  const seqs = (query: Partial<Parameters<EventStore["read"]>[0]>): number[] =>
    events.read({ after: 0, ...query }).events.map(({ seq }) => seq);
  assert.deepEqual(seqs({ after: 1 }), [2, 3]);
  assert.deepEqual(seqs({ types: ["secret.granted"] }), [2]);
  assert.deepEqual(seqs({ sandboxId: "a" }), [1, 3]);
  assert.deepEqual(seqs({ since: 2000 }), [2, 3]);
  assert.deepEqual(seqs({ until: 2000 }), [1, 2]);
  assert.equal(events.read({ after: 0, sandboxId: "nobody" }).last, 3, "what does not fit is not read again");
  assert.equal(String(events.read({ after: 0 }).events[0]?.detail.program).length, 500);
  assert.deepEqual(events.sandboxesNamed("web"), ["b"]);
});

test("what is kept is bounded: processes never push out what happened to sandboxes", (t) => {
  const { sandboxes, events } = open(t);
  sandboxes.insert(sampleSandbox());
  const burst = RING_ROWS.process + 50;
  events.append(
    Array.from(
      { length: burst },
      (_, pid) => ({ time: Date.now(), type: "process.started", detail: { pid } }) as const,
    ),
  );
  const found = all(events);
  assert.equal(found.length, RING_ROWS.process + 1);
  assert.equal(found[0]?.type, "sandbox.created");
  assert.equal(found[1]?.detail.pid, 50, "the oldest went");
  assert.equal(found.at(-1)?.detail.pid, burst - 1);
});

test("old events go as new ones come", (t) => {
  const { events } = open(t);
  const now = Date.now();
  events.append([
    { time: now - EVENT_AGE_MS - 1000, type: "secret.stored" },
    { time: now - EVENT_AGE_MS + 60_000, type: "secret.rotated" },
    { time: now, type: "secret.removed" },
  ]);
  assert.deepEqual(types(events), ["secret.rotated", "secret.removed"]);
});

test("an event of a later version, or a damaged one, is left out and passed by", (t) => {
  const { database, events } = open(t);
  database.exec("INSERT INTO events (time, type, detail) VALUES (1, 'sandbox.sang', '{}')");
  database.exec("INSERT INTO events (time, type, detail) VALUES (1, 'secret.stored', '{\"a\":{}}')");
  database.exec("INSERT INTO events (time, type, detail) VALUES (1, 'secret.removed', 'not JSON')");
  assert.deepEqual(
    events.read({ after: 0 }).events.map(({ type }) => type),
    ["secret.removed"],
  );
  assert.equal(events.read({ after: 0 }).last, 3);
});

function dropLaterTables(database: DatabaseSync): void {
  for (const table of APP_TABLE_NAMES.toReversed()) database.exec(`DROP TABLE ${table}`);
}

test("a database from before there were events gets them, and its rows stay", (t) => {
  const file = path.join(temporaryDirectory(t), "sbx.db");
  const old = openDatabase(file);
  const row = sampleSandbox();
  new SandboxStore(old).insert(row);
  const names = old.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all();
  for (const { name } of names) old.exec(`DROP TRIGGER ${String(name)}`);
  dropLaterTables(old);
  old.exec("DROP TABLE events; PRAGMA user_version = 4");
  old.close();
  const database = openDatabase(file);
  t.after(() => database.close());
  const sandboxes = new SandboxStore(database);
  assert.equal(sandboxes.get(row.id)?.status, "creating");
  sandboxes.transition(row.id, "running");
  assert.deepEqual(types(new EventStore(database)), ["sandbox.running"]);
});

test("a change of the tables that was killed in its middle has not happened, and happens with the next command", async (t) => {
  const file = path.join(temporaryDirectory(t), "sbx.db");
  const old = openDatabase(file);
  new SandboxStore(old).insert(sampleSandbox());
  for (const { name } of old.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all()) {
    old.exec(`DROP TRIGGER ${String(name)}`);
  }
  dropLaterTables(old);
  old.exec("DROP TABLE events; PRAGMA user_version = 4");
  old.close();
  const script = `
    import { DatabaseSync } from "node:sqlite";
    import { EVENT_TABLES } from ${JSON.stringify(path.resolve("src/store/events/event-tables.ts"))};
    const database = new DatabaseSync(${JSON.stringify(file)});
    database.exec("PRAGMA cache_size = 1; BEGIN IMMEDIATE");
    database.exec(EVENT_TABLES);
    database.exec("PRAGMA user_version = 5");
    process.kill(process.pid, "SIGKILL");`;
  const killed = spawn(process.execPath, ["--input-type=module-typescript", "-e", script]);
  assert.deepEqual(await once(killed, "exit"), [null, "SIGKILL"]);
  const database = openDatabase(file);
  t.after(() => database.close());
  const sandboxes = new SandboxStore(database);
  const [row] = sandboxes.list();
  sandboxes.transition(row?.id ?? "", "running");
  assert.deepEqual(types(new EventStore(database)), ["sandbox.running"]);
});
