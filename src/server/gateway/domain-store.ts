/**
 * Which sandbox a name of the gateway is, in `control.db`: hashes only, since who has a name has the server behind it.
 * Which token asked for it is recorded beside. What the name is bound to, its sandbox's supervisor knows alone.
 */
import { createHash } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { z } from "zod";
import { openControlDatabase } from "../control-database.ts";

const TABLES = `
  CREATE TABLE IF NOT EXISTS gateway_labels (
    hash          TEXT PRIMARY KEY,
    organisation  TEXT NOT NULL,
    sandbox       TEXT NOT NULL,
    kind          TEXT NOT NULL,
    token         TEXT NOT NULL,
    created_at    INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS gateway_labels_by_sandbox ON gateway_labels (organisation, sandbox);
`;

/** What is behind a name: a server of the user's, or VS Code. */
export type NameKind = "http" | "vscode";

/** A sandbox and whose it is. */
export interface NamedPlace {
  organisation: string;
  sandbox: string;
}

export interface NameRecord extends NamedPlace {
  kind: NameKind;
  /** Of the token that it was asked for with. */
  tokenId: string;
}

const placeSchema = z.object({ organisation: z.string(), sandbox: z.string() });
const rowSchema = placeSchema.extend({ kind: z.enum(["http", "vscode"]), token: z.string() });
const tokenSchema = z.object({ token: z.string() });

export class DomainStore implements Disposable {
  readonly #database: DatabaseSync;
  readonly #byHash: StatementSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
    this.#byHash = database.prepare("SELECT * FROM gateway_labels WHERE hash = ?");
  }

  /** @throws SbxError `state_newer`, `state_broken` */
  static open(directory: string): DomainStore {
    return new DomainStore(openControlDatabase(directory, TABLES));
  }

  add(label: string, { organisation, sandbox, kind, tokenId }: NameRecord, now: number): void {
    this.#database
      .prepare("INSERT INTO gateway_labels VALUES (?, ?, ?, ?, ?, ?)")
      .run(hashOf(label), organisation, sandbox, kind, tokenId, now);
  }

  /** Looked up by its hash: how long that takes says nothing of the names that there are. */
  find(label: string): NameRecord | undefined {
    const row = this.#byHash.get(hashOf(label));
    if (row === undefined) return undefined;
    const { token, ...record } = rowSchema.parse(row);
    return { ...record, tokenId: token };
  }

  remove(label: string): void {
    this.#database.prepare("DELETE FROM gateway_labels WHERE hash = ?").run(hashOf(label));
  }

  /** The sandboxes that have names. */
  places(): NamedPlace[] {
    const rows = this.#database.prepare("SELECT DISTINCT organisation, sandbox FROM gateway_labels").all();
    return rows.map((row) => placeSchema.parse(row));
  }

  /** Ids of the tokens that names of a sandbox were asked for with. */
  tokensAt({ organisation, sandbox }: NamedPlace): string[] {
    const rows = this.#database
      .prepare("SELECT DISTINCT token FROM gateway_labels WHERE organisation = ? AND sandbox = ?")
      .all(organisation, sandbox);
    return rows.map((row) => tokenSchema.parse(row).token);
  }

  removeOfToken(tokenId: string, { organisation, sandbox }: NamedPlace): void {
    this.#database
      .prepare("DELETE FROM gateway_labels WHERE token = ? AND organisation = ? AND sandbox = ?")
      .run(tokenId, organisation, sandbox);
  }

  removeAll({ organisation, sandbox }: NamedPlace): void {
    this.#database
      .prepare("DELETE FROM gateway_labels WHERE organisation = ? AND sandbox = ?")
      .run(organisation, sandbox);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

function hashOf(label: string): string {
  return createHash("sha256").update(label).digest("hex");
}
