/**
 * Directories in which copies to the host keep what is not complete yet. They lie wherever the user copies to, so only
 * a record tells the next command where a killed copy has left one.
 */
import type { DatabaseSync } from "node:sqlite";
import { isAlive, ownIdentity } from "../host/process-identity.ts";
import { translateDatabaseError } from "./database.ts";

export class StagingStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Records a directory of this process.
   *
   * @param path absolute
   * @throws SbxError `disk_full`, `state_broken`
   */
  add(path: string): void {
    const { pid, startTicks } = ownIdentity();
    this.#run("INSERT OR REPLACE INTO staging (path, pid, start) VALUES (?, ?, ?)", path, pid, startTicks);
  }

  /** @throws SbxError `disk_full`, `state_broken` */
  forget(path: string): void {
    this.#run("DELETE FROM staging WHERE path = ?", path);
  }

  /** Paths whose processes are gone. */
  listAbandoned(): string[] {
    return this.#database
      .prepare("SELECT path, pid, start FROM staging")
      .all()
      .filter(({ pid, start }) => !isAlive({ pid: Number(pid), startTicks: String(start) }))
      .map(({ path }) => String(path));
  }

  #run(statement: string, ...values: (string | number)[]): void {
    try {
      this.#database.prepare(statement).run(...values);
    } catch (error) {
      throw translateDatabaseError(error, this.#database.location() ?? "in memory");
    }
  }
}
