/**
 * The state database: SQLite in WAL mode through node:sqlite. It holds what must be consistent between processes;
 * bytes live in directories. A newer schema is refused. A damaged file is set aside and an empty one takes its place,
 * with a note in it that what runs has to be found again ({@link RECOVERY_LOCK}), so that this outlives whoever
 * noticed the damage.
 */
import { existsSync, mkdirSync, renameSync, statfsSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SbxError } from "../runtime/errors.ts";
import { APP_TABLE_NAMES, APP_TABLES } from "./apps/app-tables.ts";
import { DISK_TABLE_NAMES, DISK_TABLES } from "./disks/disk-tables.ts";
import { EVENT_TABLES } from "./events/event-tables.ts";

/** A new database holds this lock in nobody's name: whoever takes it looks for sandboxes that the tables do not know. */
export const RECOVERY_LOCK = "recovery";

/** Between the name of the database and the time at which it was found damaged. */
export const DAMAGED_SUFFIX = ".damaged-";

/** How long a writer waits for another one, `ms`. Transactions here take milliseconds. */
const BUSY_TIMEOUT_MS = 10_000;

/** Between two tries to turn a new database to WAL, `ms`. */
const WAL_RETRY_MS = 5;
/** Nobody wakes who waits on it: a pause in a synchronous module. */
const PAUSE = new Int32Array(new SharedArrayBuffer(4));

/** With less free space than this a failed write is put down to the full disk, `bytes`. */
const FULL_DISK_BYTES = 1024 ** 2;

/** Primary result codes of SQLite (sqlite.org/rescode.html); the low byte of an extended one. */
const SQLITE = { error: 1, busy: 5, ioError: 10, corrupt: 11, full: 13, notADatabase: 26 } as const;

/** What each version of the tables adds to the one before it. Never changed once released, only added to. */
const VERSIONS: readonly string[] = [
  `
    CREATE TABLE sandboxes (
      id             TEXT PRIMARY KEY,
      name           TEXT,
      status         TEXT NOT NULL,
      created_at     INTEGER NOT NULL,
      started_at     INTEGER,
      stopped_at     INTEGER,
      expires_at     INTEGER,
      reason         TEXT,
      detail         TEXT,
      spec           TEXT NOT NULL,
      directory      TEXT NOT NULL,
      socket         TEXT NOT NULL,
      creator_pid    INTEGER NOT NULL,
      creator_start  TEXT NOT NULL,
      supervisor_pid INTEGER,
      supervisor_start TEXT,
      vm_pid         INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX live_names ON sandboxes (name) WHERE status IN ('creating', 'running', 'stopping');
    CREATE TABLE locks (
      name  TEXT PRIMARY KEY,
      pid   INTEGER NOT NULL,
      start TEXT NOT NULL
    ) STRICT;
    INSERT INTO locks (name, pid, start) VALUES ('${RECOVERY_LOCK}', 0, '');
  `,
  `
    CREATE TABLE staging (
      path  TEXT PRIMARY KEY,
      pid   INTEGER NOT NULL,
      start TEXT NOT NULL
    ) STRICT;
  `,
  DISK_TABLES,
  // Whether the machine of a running sandbox stands still by its owner's wish.
  "ALTER TABLE sandboxes ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;",
  EVENT_TABLES,
  APP_TABLES,
];

export const SCHEMA_VERSION = VERSIONS.length;

/**
 * Opens the database, making or replacing it as needed.
 *
 * @throws SbxError `state_newer` for a database of a later sbx, `disk_full`, `state_broken`
 */
export function openDatabase(file: string): DatabaseSync {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  try {
    try {
      return connect(file);
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    return replaceDatabase(file, () => true);
  } catch (error) {
    throw translateDatabaseError(error, file);
  }
}

/**
 * Puts a damaged database aside and opens an empty one, unless another process did so in the meantime.
 *
 * @param isWhole tells whether the one that is there now can stay
 */
export function replaceDatabase(file: string, isWhole: (database: DatabaseSync) => boolean): DatabaseSync {
  using _turn = takeTurn(`${file}.repair`);
  try {
    const database = connect(file);
    if (isWhole(database)) return database;
    database.close();
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
  setAside(file);
  return connect(file);
}

/** Gives a damaged database and its log other names. */
export function setAside(file: string): void {
  const target = `${file}${DAMAGED_SUFFIX}${Date.now()}`;
  // The log first: without it the damaged file is only damaged, but the new one must never meet the old log.
  for (const suffix of ["-wal", "-shm", ""]) {
    if (existsSync(file + suffix)) renameSync(file + suffix, target + suffix);
  }
}

/** What a failed statement means to the user. */
export function translateDatabaseError(error: unknown, file: string): unknown {
  if (error instanceof SbxError) return error;
  const code = resultCode(error);
  if (code === SQLITE.full || (code === SQLITE.ioError && freeBytes(file) < FULL_DISK_BYTES)) {
    return new SbxError("disk_full", `there is no room to write ${file}`, { cause: error, hint: "sbx prune" });
  }
  const hint = code === SQLITE.busy ? "another process holds it: try again" : "sbx doctor";
  return new SbxError("state_broken", `the state database ${file} cannot be used`, { cause: error, hint });
}

/** Runs `work` in one transaction that no other writer can come between. */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    // On a full disk SQLite has rolled back by itself, and would refuse to do it twice.
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

/**
 * On a full disk there is no room for the index that connections share (`-shm`), and even looking would fail. One that
 * is alone keeps it in its own memory; others wait for it.
 */
function connect(file: string): DatabaseSync {
  try {
    return connectWith(file, "NORMAL");
  } catch (error) {
    if (resultCode(error) !== SQLITE.ioError || freeBytes(file) >= FULL_DISK_BYTES) throw error;
    return connectWith(file, "EXCLUSIVE");
  }
}

function connectWith(file: string, lockingMode: "NORMAL" | "EXCLUSIVE"): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    database.exec(`PRAGMA locking_mode = ${lockingMode}`);
    enterWal(database);
    database.exec("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
    const version = readVersion(database);
    if (version > SCHEMA_VERSION) {
      throw new SbxError(
        "state_newer",
        `${file} was written by a newer sbx (schema ${version}, this one knows ${SCHEMA_VERSION})`,
        {
          hint: "update sbx",
        },
      );
    }
    if (version < SCHEMA_VERSION) migrate(database);
    if (version > 0) checkTables(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * The first step of a new database. SQLite does not wait for its lock, whatever the timeout, when two connections that
 * read the file's header both want to write it (sqlite.org/c3ref/busy_handler.html): one of them has to try again.
 */
export function enterWal(database: DatabaseSync): void {
  const deadline = performance.now() + BUSY_TIMEOUT_MS;
  for (;;) {
    try {
      database.exec("PRAGMA journal_mode = WAL");
      return;
    } catch (error) {
      if (resultCode(error) !== SQLITE.busy || performance.now() > deadline) throw error;
      Atomics.wait(PAUSE, 0, 0, WAL_RETRY_MS);
    }
  }
}

/** Two processes may come here at once: the second finds the work done. */
function migrate(database: DatabaseSync): void {
  inTransaction(database, () => {
    const version = readVersion(database);
    if (version >= SCHEMA_VERSION) return;
    for (const statements of VERSIONS.slice(version)) database.exec(statements);
    database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  });
}

function readVersion(database: DatabaseSync): number {
  const row = database.prepare("PRAGMA user_version").get();
  return typeof row?.user_version === "number" ? row.user_version : 0;
}

/** Reads all of a database of a few pages, so that damage shows when it can still be mended. */
function checkTables(database: DatabaseSync): void {
  for (const table of ["sandboxes", "locks", "staging", "events", ...DISK_TABLE_NAMES, ...APP_TABLE_NAMES])
    database.prepare(`SELECT count(*) FROM ${table}`).get();
  if (!isHealthy(database)) throw new DamageError("its pages do not fit together");
}

function isHealthy(database: DatabaseSync): boolean {
  return database.prepare("PRAGMA quick_check(1)").get()?.quick_check === "ok";
}

class DamageError extends Error {}

/** Damage, or a file that lost its tables. */
export function isDamage(error: unknown): boolean {
  const code = resultCode(error);
  if (error instanceof DamageError || code === SQLITE.corrupt || code === SQLITE.notADatabase) return true;
  return code === SQLITE.error && /no such (table|column)|already exists/.test((error as Error).message);
}

function resultCode(error: unknown): number {
  return ((error as { errcode?: number }).errcode ?? 0) & 0xff;
}

function freeBytes(file: string): number {
  try {
    const { bavail, bsize } = statfsSync(path.dirname(file));
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY; // Unknown: not put down to the disk.
  }
}

/** A mutex between processes that ends with its holder: the write lock of a database of its own, which stays empty. */
export function takeTurn(file: string): Disposable {
  const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    throw error;
  }
  return { [Symbol.dispose]: () => database.close() };
}
