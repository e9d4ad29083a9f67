/**
 * Which sandbox a name of the gateway is, in `control.db`: hashes only, since who has a name has the server behind it.
 * What the name is bound to, its sandbox's supervisor knows alone.
 */
import { createHash } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { z } from "zod";
import { openControlDatabase } from "../control-database.ts";

const TABLES = `
  CREATE TABLE IF NOT EXISTS gateway_names (
    hash          TEXT PRIMARY KEY,
    organisation  TEXT NOT NULL,
    sandbox       TEXT NOT NULL,
    kind          TEXT NOT NULL,
    created_at    INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS gateway_names_by_sandbox ON gateway_names (organisation, sandbox);
`;

/** What is behind a name: a server of the user's, or VS Code. */
export type NameKind = "http" | "vscode";

export interface NameRecord {
  organisation: string;
  sandbox: string;
  kind: NameKind;
}

const placeSchema = z.object({ organisation: z.string(), sandbox: z.string() });
const rowSchema = placeSchema.extend({ kind: z.enum(["http", "vscode"]) });

export class DomainStore implements Disposable {
  readonly #database: DatabaseSync;
  readonly #byHash: StatementSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
    this.#byHash = database.prepare("SELECT * FROM gateway_names WHERE hash = ?");
  }

  /** @throws SbxError `state_newer`, `state_broken` */
  static open(directory: string): DomainStore {
    return new DomainStore(openControlDatabase(directory, TABLES));
  }

  add(label: string, { organisation, sandbox, kind }: NameRecord, now: number): void {
    this.#database
      .prepare("INSERT INTO gateway_names VALUES (?, ?, ?, ?, ?)")
      .run(hashOf(label), organisation, sandbox, kind, now);
  }

  /** Looked up by its hash: how long that takes says nothing of the names that there are. */
  find(label: string): NameRecord | undefined {
    const row = this.#byHash.get(hashOf(label));
    return row === undefined ? undefined : rowSchema.parse(row);
  }

  remove(label: string): void {
    this.#database.prepare("DELETE FROM gateway_names WHERE hash = ?").run(hashOf(label));
  }

  /** The sandboxes that have names. */
  places(): { organisation: string; sandbox: string }[] {
    const rows = this.#database.prepare("SELECT DISTINCT organisation, sandbox FROM gateway_names").all();
    return rows.map((row) => placeSchema.parse(row));
  }

  removeAll({ organisation, sandbox }: { organisation: string; sandbox: string }): void {
    this.#database
      .prepare("DELETE FROM gateway_names WHERE organisation = ? AND sandbox = ?")
      .run(organisation, sandbox);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

function hashOf(label: string): string {
  return createHash("sha256").update(label).digest("hex");
}
