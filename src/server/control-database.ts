/**
 * The records of a control plane, `control.db` in its directory. Each kind of record has a connection of its own;
 * commands write while the server reads.
 */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SbxError } from "../runtime/errors.ts";

const SCHEMA_VERSION = 1;
/** `ms`; writes take milliseconds. */
const BUSY_TIMEOUT_MS = 10_000;

/**
 * @param directory made if it is not there
 * @param tables statements that make what is missing
 * @throws SbxError `state_newer`, `state_broken`
 */
export function openControlDatabase(directory: string, tables: string): DatabaseSync {
  const file = path.join(directory, "control.db");
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    const version = database.prepare("PRAGMA user_version").get()?.user_version;
    if (typeof version === "number" && version > SCHEMA_VERSION) {
      database.close();
      throw new SbxError("state_newer", `${file} was written by a later version of sbx`, { hint: "update sbx" });
    }
    database.exec(`${tables} PRAGMA user_version = ${SCHEMA_VERSION}`);
    return database;
  } catch (error) {
    if (error instanceof SbxError) throw error;
    throw new SbxError("state_broken", `the records in ${file} cannot be read or written`, {
      cause: error,
      hint: "give a directory of your own with --data",
    });
  }
}
