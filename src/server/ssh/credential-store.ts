/**
 * User names for SSH, each of which opens one sandbox: hashes only, in `control.db`. Whose sandbox it is and which token
 * asked for it is recorded beside; a name holds as long as both do.
 */
import { createHash, randomBytes } from "node:crypto";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { z } from "zod";
import { SbxError } from "../../runtime/errors.ts";
import { openControlDatabase } from "../control-database.ts";

const TABLES = `
  CREATE TABLE IF NOT EXISTS ssh_credentials (
    id            TEXT PRIMARY KEY,
    hash          TEXT NOT NULL UNIQUE,
    organisation  TEXT NOT NULL,
    sandbox       TEXT NOT NULL,
    token         TEXT NOT NULL,
    created_at    INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS ssh_credentials_by_sandbox ON ssh_credentials (organisation, sandbox);
`;
const SECRET_BYTES = 20;
const FORM = /^ssh_[0-9a-f]{40}$/;

/** A sandbox and whose it is. */
export interface SandboxPlace {
  organisation: string;
  sandbox: string;
}

export interface CredentialRecord extends SandboxPlace {
  id: string;
  /** Of the token that it was asked for with. */
  tokenId: string;
}

const rowSchema = z.object({ id: z.string(), organisation: z.string(), sandbox: z.string(), token: z.string() });
const placeSchema = z.object({ organisation: z.string(), sandbox: z.string() });
const tokenSchema = z.object({ token: z.string() });
const countSchema = z.object({ count: z.number() });

export class CredentialStore implements Disposable {
  readonly #database: DatabaseSync;
  readonly #byHash: StatementSync;
  readonly #byId: StatementSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
    this.#byHash = database.prepare("SELECT * FROM ssh_credentials WHERE hash = ?");
    this.#byId = database.prepare("SELECT id FROM ssh_credentials WHERE id = ?");
  }

  /** @throws SbxError `state_newer`, `state_broken` */
  static open(directory: string): CredentialStore {
    return new CredentialStore(openControlDatabase(directory, TABLES));
  }

  /** The only time that the name itself is there. */
  create({ organisation, sandbox, tokenId }: Omit<CredentialRecord, "id">, now: number): string {
    const username = `ssh_${randomBytes(SECRET_BYTES).toString("hex")}`;
    const id = `sshc_${randomBytes(8).toString("hex")}`;
    this.#database
      .prepare("INSERT INTO ssh_credentials VALUES (?, ?, ?, ?, ?, ?)")
      .run(id, hashOf(username), organisation, sandbox, tokenId, now);
    return username;
  }

  /** How many there are for a sandbox. */
  count({ organisation, sandbox }: SandboxPlace): number {
    const row = this.#database
      .prepare("SELECT COUNT(*) AS count FROM ssh_credentials WHERE organisation = ? AND sandbox = ?")
      .get(organisation, sandbox);
    return countSchema.parse(row).count;
  }

  /** Looked up by its hash: how long that takes says nothing of the names that there are. */
  find(username: string): CredentialRecord | undefined {
    if (!FORM.test(username)) return undefined;
    const row = this.#byHash.get(hashOf(username));
    return row === undefined ? undefined : parseRow(row);
  }

  /** Whether it has not been taken back. */
  holds(id: string): boolean {
    return this.#byId.get(id) !== undefined;
  }

  /** Takes back all names of a sandbox. */
  revoke({ organisation, sandbox }: SandboxPlace): void {
    this.#database
      .prepare("DELETE FROM ssh_credentials WHERE organisation = ? AND sandbox = ?")
      .run(organisation, sandbox);
  }

  /** Takes back all names that were asked for with a token. */
  revokeOfToken(tokenId: string): void {
    this.#database.prepare("DELETE FROM ssh_credentials WHERE token = ?").run(tokenId);
  }

  /** Ids of the tokens that names were asked for with. */
  tokens(): string[] {
    const rows = this.#database.prepare("SELECT DISTINCT token FROM ssh_credentials").all();
    return rows.map((row) => tokenSchema.parse(row).token);
  }

  /** The sandboxes that have names. */
  places(): SandboxPlace[] {
    const rows = this.#database.prepare("SELECT DISTINCT organisation, sandbox FROM ssh_credentials").all();
    return rows.map((row) => placeSchema.parse(row));
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

/** A guess at 160 random bits is as good against a fast hash as against a slow one. */
function hashOf(username: string): string {
  return createHash("sha256").update(username).digest("hex");
}

function parseRow(row: Record<string, SQLOutputValue>): CredentialRecord {
  try {
    const { id, organisation, sandbox, token } = rowSchema.parse(row);
    return { id, organisation, sandbox, tokenId: token };
  } catch (cause) {
    throw new SbxError("state_broken", `the record of SSH credential ${String(row.id)} is damaged`, { cause });
  }
}
