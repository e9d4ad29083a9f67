/**
 * The state database survives damage, concurrent openers and killed repairers, and refuses what a later sbx wrote.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SbxError } from "../../../src/runtime/errors.ts";
import {
  openDatabase,
  RECOVERY_LOCK,
  replaceDatabase,
  SCHEMA_VERSION,
  translateDatabaseError,
} from "../../../src/store/database.ts";
import { APP_TABLE_NAMES } from "../../../src/store/apps/app-tables.ts";
import { DISK_TABLE_NAMES } from "../../../src/store/disks/disk-tables.ts";
import { acquireLock, lockExists } from "../../../src/store/locks.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

function count(database: DatabaseSync, table: string): unknown {
  return database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n;
}

function setAside(directory: string): string[] {
  return readdirSync(directory).filter((name) => /^sbx\.db\.damaged-\d+$/.test(name));
}

/** A database with a row that must not be there after a replacement, and a few pages to damage. */
function filledDatabase(file: string): void {
  const database = openDatabase(file);
  database.prepare("DELETE FROM locks").run();
  const insert = database.prepare("INSERT INTO locks (name, pid, start) VALUES (?, 1, '1')");
  for (let index = 0; index < 400; index += 1) insert.run(`lock-${index}-${"x".repeat(60)}`);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
}

test("a new database has empty tables and asks for recovery once", async (t) => {
  const file = path.join(temporaryDirectory(t), "deep", "sbx.db");
  const first = openDatabase(file);
  assert.equal(count(first, "sandboxes"), 0);
  assert.equal(lockExists(first, RECOVERY_LOCK), true);
  {
    await using _lock = await acquireLock(first, RECOVERY_LOCK);
  }
  first.close();
  const second = openDatabase(file);
  assert.equal(lockExists(second, RECOVERY_LOCK), false);
  second.close();
});

const DAMAGES: [string, (file: string) => void][] = [
  [
    "a file that is no database",
    (file) => writeFileSync(file, "this is no database, and it is long enough".repeat(20)),
  ],
  ["a file cut in the middle of a page", (file) => truncateSync(file, 4096 + 100)],
  [
    "a file with a garbled page",
    (file) => {
      const bytes = readFileSync(file);
      bytes.fill(0xa5, 4096 * 3, 4096 * 6);
      writeFileSync(file, bytes);
    },
  ],
  [
    "a file that lost its tables",
    (file) => {
      const database = new DatabaseSync(file);
      database.exec("DROP TABLE sandboxes");
      database.close();
    },
  ],
];

for (const [what, damage] of DAMAGES) {
  test(`${what} is set aside, and the empty one in its place asks for recovery`, (t) => {
    const directory = temporaryDirectory(t);
    const file = path.join(directory, "sbx.db");
    filledDatabase(file);
    damage(file);
    const database = openDatabase(file);
    assert.equal(count(database, "sandboxes"), 0);
    assert.equal(count(database, "locks"), 1);
    assert.equal(lockExists(database, RECOVERY_LOCK), true);
    database.close();
    assert.equal(setAside(directory).length, 1);
  });
}

test("a database that was cut to nothing is made anew and asks for recovery", (t) => {
  const file = path.join(temporaryDirectory(t), "sbx.db");
  filledDatabase(file);
  truncateSync(file, 0);
  const database = openDatabase(file);
  assert.equal(lockExists(database, RECOVERY_LOCK), true);
  database.close();
});

test("a database that another process has replaced already is not replaced again", (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "sbx.db");
  filledDatabase(file);
  writeFileSync(file, "garbage".repeat(1000));
  openDatabase(file).close();
  const inode = statSync(file).ino;
  // The second process saw the damage as well, and comes too late.
  replaceDatabase(file, () => true).close();
  assert.equal(statSync(file).ino, inode);
  assert.equal(setAside(directory).length, 1);
});

test("a database of a newer sbx is refused with both versions and left as it is", (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "sbx.db");
  filledDatabase(file);
  const database = new DatabaseSync(file);
  database.exec("PRAGMA user_version = 7");
  database.close();
  assert.throws(
    () => openDatabase(file),
    (error: unknown) => {
      assert.ok(error instanceof SbxError);
      assert.equal(error.code, "state_newer");
      assert.equal(error.message, `${file} was written by a newer sbx (schema 7, this one knows ${SCHEMA_VERSION})`);
      assert.equal(error.hint, "update sbx");
      return true;
    },
  );
  assert.deepEqual(setAside(directory), []);
});

test("a database of the first version keeps its rows, and gets the tables that came since", (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "sbx.db");
  filledDatabase(file);
  const old = new DatabaseSync(file);
  for (const { name } of old.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all()) {
    old.exec(`DROP TRIGGER ${String(name)}`);
  }
  for (const table of [...APP_TABLE_NAMES.toReversed(), "staging", "events", ...DISK_TABLE_NAMES.toReversed()])
    old.exec(`DROP TABLE ${table}`);
  old.exec("ALTER TABLE sandboxes DROP COLUMN paused");
  old.exec("PRAGMA user_version = 1");
  old.close();
  const database = openDatabase(file);
  assert.equal(count(database, "locks"), 400);
  for (const table of ["staging", "events", ...DISK_TABLE_NAMES, ...APP_TABLE_NAMES])
    assert.equal(count(database, table), 0);
  assert.equal(database.prepare("PRAGMA user_version").get()?.user_version, SCHEMA_VERSION);
  database.close();
  assert.deepEqual(setAside(directory), []);
});

test("processes that open a new database at once all find its tables", async (t) => {
  const file = path.join(temporaryDirectory(t), "sbx.db");
  // The first moments are what counts, so there are many of them, and all start each at the same one.
  const script = `
    import { openDatabase } from ${JSON.stringify(path.resolve("src/store/database.ts"))};
    const start = ${Date.now() + 1500};
    for (let round = 0; round < 60; round += 1) {
      while (Date.now() < start + round * 20);
      const database = openDatabase(${JSON.stringify(file)} + round);
      database.prepare("SELECT count(*) FROM sandboxes").get();
      database.close();
    }`;
  const children = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
      stdio: ["ignore", "ignore", "inherit"],
    }),
  );
  const codes = await Promise.all(children.map(async (child) => (await once(child, "exit"))[0] as number));
  assert.deepEqual(codes, [0, 0, 0, 0]);
});

test("a full disk is told from a broken database", () => {
  const full = translateDatabaseError(
    Object.assign(new Error("database or disk is full"), { errcode: 13 }),
    "/x/sbx.db",
  );
  assert.ok(full instanceof SbxError);
  assert.equal(full.code, "disk_full");
  assert.equal(full.hint, "sbx prune");
  const busy = translateDatabaseError(Object.assign(new Error("database is locked"), { errcode: 5 }), "/x/sbx.db");
  assert.ok(busy instanceof SbxError);
  assert.equal(busy.code, "state_broken");
  assert.equal(busy.hint, "another process holds it: try again");
});
