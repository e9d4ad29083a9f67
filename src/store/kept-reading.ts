/**
 * What was read from the database, for as long as nobody has written to it: whoever asks again and again is spared the
 * reading and the parsing, and never sees anything but what is there.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";

export class KeptReading<T> {
  readonly #database: DatabaseSync;
  readonly #read: () => T;
  #versions: StatementSync | undefined;
  #ownChanges: StatementSync | undefined;
  #kept: { version: string; value: T } | undefined;

  /** @param read what it returns is given out several times: nobody may change it */
  constructor(database: DatabaseSync, read: () => T) {
    this.#database = database;
    this.#read = read;
  }

  get(): T {
    // What a transaction sees may be taken back.
    if (this.#database.isTransaction) return this.#read();
    // Looked at before the reading: a write between the two makes the next call read once more.
    const version = this.#version();
    if (this.#kept?.version !== version) this.#kept = { version, value: this.#read() };
    return this.#kept.value;
  }

  /** Another one after each write of anybody: what others commit (sqlite.org/pragma.html#pragma_data_version), and this connection's own changes. */
  #version(): string {
    this.#versions ??= this.#database.prepare("PRAGMA data_version");
    this.#ownChanges ??= this.#database.prepare("SELECT total_changes() AS changes");
    return `${String(this.#versions.get()?.data_version)}:${String(this.#ownChanges.get()?.changes)}`;
  }
}
