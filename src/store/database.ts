/**
 * The state database: SQLite in WAL mode through node:sqlite. It holds what must be consistent between processes;
 * bytes live in directories. A newer schema is refused, a damaged file is set aside (its content can be found again
 * from the sandboxes' own records, see sandbox-store.ts).
 */
import { mkdirSync, renameSync, existsSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SbxError } from "../runtime/errors.ts";

/** Raised with each change of the tables. */
export const SCHEMA_VERSION = 1;

/** How long a writer waits for another one, `ms`. Transactions here take milliseconds. */
const BUSY_TIMEOUT_MS = 10_000;

const SCHEMA = `
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
`;

export interface OpenedDatabase {
  database: DatabaseSync;
  /** Where a damaged database was put, if there was one. */
  setAside: string | null;
}

/**
 * Opens the database, making or repairing it as needed.
 *
 * @throws SbxError `state_newer` for a database of a later sbx, `disk_full`, `state_broken`
 */
export function openDatabase(file: string): OpenedDatabase {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  try {
    return { database: connect(file), setAside: null };
  } catch (error) {
    if (!isDamage(error)) throw translate(error, file);
  }
  const setAside = `${file}.damaged-${Date.now()}`;
  for (const suffix of ["", "-wal", "-shm"]) {
    if (existsSync(file + suffix)) renameSync(file + suffix, setAside + suffix);
  }
  try {
    return { database: connect(file), setAside };
  } catch (error) {
    throw translate(error, file);
  }
}

function connect(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
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
    else checkTables(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Two processes may come here at once: the second finds the work done. */
function migrate(database: DatabaseSync): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    if (readVersion(database) === 0) database.exec(`${SCHEMA}; PRAGMA user_version = ${SCHEMA_VERSION}`);
    database.exec("COMMIT");
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}

function readVersion(database: DatabaseSync): number {
  const row = database.prepare("PRAGMA user_version").get();
  return typeof row?.user_version === "number" ? row.user_version : 0;
}

/** Touches each table, so that damage shows when it can still be mended. */
function checkTables(database: DatabaseSync): void {
  database.prepare("SELECT count(*) FROM sandboxes").get();
  database.prepare("SELECT count(*) FROM locks").get();
}

/** SQLITE_CORRUPT (11), SQLITE_NOTADB (26), and a file that lost its tables (SQLITE_ERROR, 1, "no such table"). */
function isDamage(error: unknown): boolean {
  const { errcode, message } = error as { errcode?: number; message?: string };
  return errcode === 11 || errcode === 26 || (errcode === 1 && /no such (table|column)/.test(message ?? ""));
}

function translate(error: unknown, file: string): unknown {
  if (error instanceof SbxError) return error;
  if ((error as { errcode?: number }).errcode === 13) {
    return new SbxError("disk_full", `there is no room to write ${file}`, { cause: error, hint: "sbx prune" });
  }
  return new SbxError("state_broken", `the state database ${file} cannot be used`, {
    cause: error,
    hint: "sbx doctor",
  });
}
