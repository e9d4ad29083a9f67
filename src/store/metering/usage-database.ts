/**
 * The database of what was used, a file of its own beside the state database: that one is read as a whole before each
 * command, and this one grows. Every number in it is either a counter of a sandbox as it was at some moment, or an
 * amount that was added together with such a counter in one transaction, so that nothing is counted twice whoever is
 * killed.
 */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SbxError } from "../../runtime/errors.ts";
import { enterWal, inTransaction, isDamage, setAside, takeTurn, translateDatabaseError } from "../database.ts";

const BUSY_TIMEOUT_MS = 10_000;

/** What each version adds to the one before it. Never changed once released, only added to. */
const VERSIONS: readonly string[] = [
  `
    -- What was metered of each sandbox, volume and snapshot, and until when.
    CREATE TABLE meters (
      kind         TEXT NOT NULL,
      id           TEXT NOT NULL,
      name         TEXT,
      labels       TEXT NOT NULL DEFAULT '{}',
      app          TEXT,
      metered_at   INTEGER NOT NULL,
      cpu_ms       REAL NOT NULL DEFAULT 0,
      memory       REAL NOT NULL DEFAULT 0,
      sent         REAL NOT NULL DEFAULT 0,
      received     REAL NOT NULL DEFAULT 0,
      PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    -- What a sandbox used in one hour (counted from 1970).
    CREATE TABLE hours (
      hour         INTEGER NOT NULL,
      sandbox      TEXT NOT NULL,
      cpu_ms       REAL NOT NULL,
      memory       REAL NOT NULL,
      sent         REAL NOT NULL,
      received     REAL NOT NULL,
      PRIMARY KEY (hour, sandbox)
    ) STRICT, WITHOUT ROWID;
    -- What a volume or snapshot took of the disk, from when to when: its mean, and what it had at the end.
    CREATE TABLE spans (
      kind         TEXT NOT NULL,
      id           TEXT NOT NULL,
      since        INTEGER NOT NULL,
      until        INTEGER NOT NULL,
      bytes        REAL NOT NULL,
      last_bytes   REAL NOT NULL,
      -- Whether it goes on; of each thing one does at the most.
      is_open      INTEGER NOT NULL,
      PRIMARY KEY (kind, id, since)
    ) STRICT, WITHOUT ROWID;
  `,
];

/** Beside the state database. */
export function usageDatabasePath(stateDatabasePath: string): string {
  return path.join(path.dirname(stateDatabasePath), "usage.db");
}

/**
 * Opens it, making it as needed. A damaged one is set aside.
 *
 * @throws SbxError `state_newer`, `disk_full`, `state_broken`
 */
export function openUsageDatabase(file: string): DatabaseSync {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  try {
    try {
      return connect(file);
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    return replace(file);
  } catch (error) {
    throw translateDatabaseError(error, file);
  }
}

function replace(file: string): DatabaseSync {
  using _turn = takeTurn(`${file}.repair`);
  try {
    return connect(file); // Somebody else was quicker.
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
  setAside(file);
  return connect(file);
}

function connect(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    enterWal(database);
    database.exec("PRAGMA synchronous = NORMAL");
    if (versionOf(database) < VERSIONS.length) inTransaction(database, () => migrate(database));
    if (versionOf(database) > VERSIONS.length) {
      throw new SbxError("state_newer", `${file} was written by a newer sbx`, { hint: "update sbx" });
    }
    database.prepare("SELECT count(*) FROM meters WHERE kind = ''").get();
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function migrate(database: DatabaseSync): void {
  const version = versionOf(database);
  if (version >= VERSIONS.length) return;
  for (const statements of VERSIONS.slice(version)) database.exec(statements);
  database.exec(`PRAGMA user_version = ${VERSIONS.length}`);
}

function versionOf(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA user_version").get()?.user_version ?? 0);
}
