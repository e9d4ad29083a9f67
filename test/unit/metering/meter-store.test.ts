/** What was used is counted once, whatever is repeated, late or killed; disks by how long they held how much. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { HOUR_MS, type SandboxCounters } from "../../../src/metering/amounts.ts";
import { METER_FILE, MeterFile, readMeterFile } from "../../../src/store/metering/meter-file.ts";
import { MeterStore, type SandboxSample, type StorageSample } from "../../../src/store/metering/meter-store.ts";
import { openUsageDatabase } from "../../../src/store/metering/usage-database.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const MIDNIGHT = Date.UTC(2026, 2, 1);

function open(t: TestContext): { meters: MeterStore; file: string } {
  const file = path.join(temporaryDirectory(t), "usage.db");
  const database = openUsageDatabase(file);
  t.after(() => database.close());
  return { meters: new MeterStore(database), file };
}

function counters(cpuMs: number): SandboxCounters {
  return { cpuMs, memoryByteHours: cpuMs * 2, sentBytes: cpuMs * 3, receivedBytes: cpuMs * 4 };
}

function sample(at: number, cpuMs: number, more: Partial<SandboxSample> = {}): SandboxSample {
  return { id: "a", name: "web", labels: { team: "demo" }, app: null, at, counters: counters(cpuMs), ...more };
}

const everything = { since: 0, until: MIDNIGHT + 1000 * HOUR_MS };

test("counters that come again, late or smaller add nothing; what they grew by is added", (t) => {
  const { meters } = open(t);
  for (const [at, cpuMs] of [
    [1, 100],
    [2, 100],
    [3, 250],
    [1, 100],
    [4, 0],
    [5, 260],
  ] as const) {
    meters.settle(sample(MIDNIGHT + at, cpuMs));
  }
  const [row, ...more] = meters.read(everything);
  assert.deepEqual(more, []);
  assert.deepEqual(row, {
    ...{ kind: "sandbox", id: "a", name: "web", labels: { team: "demo" }, app: null, bucket: 0 },
    amounts: { ...counters(260), storageByteHours: 0 },
  });
});

test("what a sandbox used counts for the hour in which it was metered, and days are sums of hours", (t) => {
  const { meters } = open(t);
  meters.settle(sample(MIDNIGHT + 10, 100));
  meters.settle(sample(MIDNIGHT + HOUR_MS + 10, 150));
  meters.settle(sample(MIDNIGHT + 25 * HOUR_MS, 1000));
  meters.settle(sample(MIDNIGHT + 25 * HOUR_MS, 7, { id: "b", name: null, app: "shop" }));
  const cpu = (query: Parameters<MeterStore["read"]>[0]): [string, number, number][] =>
    meters.read(query).map(({ id, bucket, amounts }) => [id, (bucket - MIDNIGHT) / HOUR_MS, amounts.cpuMs]);
  assert.deepEqual(cpu({ ...everything, bucketMs: HOUR_MS }), [
    ["a", 0, 100],
    ["a", 1, 50],
    ["a", 25, 850],
    ["b", 25, 7],
  ]);
  assert.deepEqual(cpu({ ...everything, bucketMs: 24 * HOUR_MS }), [
    ["a", 0, 150],
    ["a", 24, 850],
    ["b", 24, 7],
  ]);
  assert.deepEqual(cpu({ since: MIDNIGHT + HOUR_MS + 999, until: MIDNIGHT + 2 * HOUR_MS }), [["a", 1.000_277_5, 50]]);
});

function disk(bytes: number, more: Partial<StorageSample> = {}): StorageSample {
  return { kind: "volume", id: "v", name: "data", createdAt: MIDNIGHT, bytes, ...more };
}

const byteHours = (meters: MeterStore, query = everything): number =>
  meters.read(query).reduce((sum, { amounts }) => sum + amounts.storageByteHours, 0);

test("a volume counts from when it was made, with what it had at each look until the next one", (t) => {
  const { meters } = open(t);
  meters.measureStorage([disk(100)], MIDNIGHT + 2 * HOUR_MS);
  assert.equal(byteHours(meters), 200);
  meters.measureStorage([disk(300)], MIDNIGHT + 3 * HOUR_MS);
  assert.equal(byteHours(meters), 300);
  meters.measureStorage([disk(300)], MIDNIGHT + 13 * HOUR_MS);
  assert.equal(byteHours(meters), 3300);
  // The same look again, and an earlier one: nothing.
  meters.measureStorage([disk(900)], MIDNIGHT + 13 * HOUR_MS);
  meters.measureStorage([disk(900)], MIDNIGHT + 12 * HOUR_MS);
  assert.equal(byteHours(meters), 3300);
  const days = meters.read({ ...everything, bucketMs: 4 * HOUR_MS }).map(({ amounts }) => amounts.storageByteHours);
  assert.deepEqual(days, [600, 1200, 1200, 300]);
});

test("a volume that changes all the time takes one row an hour, and its mean is right", (t) => {
  const { meters, file } = open(t);
  for (let minute = 0; minute <= 120; minute++) {
    meters.measureStorage([disk(minute * 60)], MIDNIGHT + minute * 60_000);
  }
  // Each minute with what was there at its beginning.
  assert.equal(Math.round(byteHours(meters)), (119 * 120) / 2);
  using database = openUsageDatabase(file);
  const rows = database.prepare("SELECT count(*) AS count FROM spans").get();
  assert.ok(Number(rows?.count) <= 4, JSON.stringify(rows));
});

test("a removed volume does not count, and one that is restored counts from when it is seen again", (t) => {
  const { meters } = open(t);
  meters.measureStorage([disk(100), disk(5, { id: "w", kind: "snapshot" })], MIDNIGHT + HOUR_MS);
  meters.measureStorage([disk(5, { id: "w", kind: "snapshot" })], MIDNIGHT + 10 * HOUR_MS);
  meters.measureStorage([disk(100), disk(5, { id: "w", kind: "snapshot" })], MIDNIGHT + 20 * HOUR_MS);
  meters.measureStorage([disk(100), disk(5, { id: "w", kind: "snapshot" })], MIDNIGHT + 21 * HOUR_MS);
  const of = (kind: string): number =>
    meters
      .read(everything)
      .filter((row) => row.kind === kind)
      .reduce((sum, { amounts }) => sum + amounts.storageByteHours, 0);
  assert.equal(of("volume"), 200);
  assert.equal(of("snapshot"), 105);
});

test("what was used more than thirteen months ago is forgotten", (t) => {
  const { meters } = open(t);
  meters.settle(sample(MIDNIGHT, 100));
  meters.measureStorage([disk(100)], MIDNIGHT + HOUR_MS);
  meters.forget(MIDNIGHT + 399 * 24 * HOUR_MS);
  assert.equal(meters.read(everything).length, 2);
  meters.forget(MIDNIGHT + 401 * 24 * HOUR_MS);
  assert.deepEqual(meters.read(everything), []);
});

const COUNTER = `
import { writeSync } from "node:fs";
import { MeterStore } from "${path.resolve("src/store/metering/meter-store.ts")}";
import { openUsageDatabase } from "${path.resolve("src/store/metering/usage-database.ts")}";
const meters = new MeterStore(openUsageDatabase(process.argv[2]));
for (let cpuMs = Number(process.argv[3]) + 1; ; cpuMs++) {
  meters.settle({ id: "a", name: null, labels: {}, app: null, at: ${MIDNIGHT}, counters: ${JSON.stringify(counters(1))} });
  meters.settle({ id: "a", name: null, labels: {}, app: null, at: ${MIDNIGHT},
    counters: { cpuMs, memoryByteHours: cpuMs, sentBytes: 0, receivedBytes: 0 } });
  writeSync(1, cpuMs + "\\n");
}
`;

test("a writer that is killed at any moment leaves sums that agree with its counters", async (t) => {
  const { meters, file } = open(t);
  const script = path.join(path.dirname(file), "counter.ts");
  writeFileSync(script, COUNTER);
  let [said, counted] = [0, 0];
  for (let round = 0; round < 5; round++) {
    const child = spawn(process.execPath, [script, file, String(counted)], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    while (text.length < 200 * (round + 1)) await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "close");
    said = Number(text.trimEnd().split("\n").at(-1));
    counted = meters.read(everything)[0]?.amounts.cpuMs ?? 0;
    assert.ok(counted >= said && counted <= said + 1, `${counted} were counted of ${said}`);
  }
});

test("a damaged database of usage is set aside, and another one takes its place", (t) => {
  const file = path.join(temporaryDirectory(t), "usage.db");
  writeFileSync(file, "no database at all".repeat(1000));
  using database = openUsageDatabase(file);
  assert.deepEqual(new MeterStore(database).read(everything), []);
});

test("a sandbox's own file holds its last counters, as a whole or not at all", (t) => {
  const directory = temporaryDirectory(t);
  assert.equal(readMeterFile(directory), undefined);
  using file = new MeterFile(directory);
  file.write(1, counters(123_456_789));
  file.write(2, counters(5));
  assert.deepEqual(readMeterFile(directory), { at: 2, counters: counters(5) });
  for (const broken of ["", "{", '{"at":1}', '{"at":1,"counters":{"cpuMs":-1}}', "x".repeat(5000)]) {
    writeFileSync(path.join(directory, METER_FILE), broken);
    assert.equal(readMeterFile(directory), undefined, broken.slice(0, 20));
  }
});
