/**
 * The tokens of a control plane, `control.db` in its directory: hashes only. Commands write while the server reads, so
 * that a token that is revoked is refused with the next request.
 */
import { randomBytes } from "node:crypto";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { z } from "zod";
import { SbxError } from "../../runtime/errors.ts";
import { ORGANISATION_NAME } from "../../runtime/organisations.ts";
import { openControlDatabase } from "../control-database.ts";
import { hashToken, newToken, SCOPES, TOKEN_KINDS, type Scope, type TokenKind } from "./token-format.ts";

const TABLES = `
  CREATE TABLE IF NOT EXISTS tokens (
    id            TEXT PRIMARY KEY,
    name          TEXT,
    kind          TEXT NOT NULL,
    hash          TEXT NOT NULL UNIQUE,
    organisations TEXT NOT NULL,
    scopes        TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER
  ) STRICT;
`;

export interface TokenRecord {
  id: string;
  name: string | null;
  kind: TokenKind;
  organisations: string[];
  scopes: Scope[];
  createdAt: number;
  expiresAt: number | null;
}

export type TokenSpec = Omit<TokenRecord, "id">;

const rowSchema = z.object({
  id: z.string(),
  name: z.string().nullable(),
  kind: z.enum(TOKEN_KINDS),
  organisations: z.string(),
  scopes: z.string(),
  created_at: z.number(),
  expires_at: z.number().nullable(),
});
const organisationList = z.array(z.string().regex(ORGANISATION_NAME)).min(1);
const scopeList = z.array(z.enum(SCOPES));

export class TokenStore implements Disposable {
  readonly #database: DatabaseSync;
  readonly #byHash: StatementSync;
  readonly #byId: StatementSync;
  readonly #byOrganisation: StatementSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
    this.#byHash = database.prepare("SELECT * FROM tokens WHERE hash = ?");
    this.#byId = database.prepare("SELECT * FROM tokens WHERE id = ?");
    // Of a record that is damaged nothing is read: it takes no other one's organisation along.
    this.#byOrganisation = database.prepare(`
      SELECT 1 FROM tokens WHERE EXISTS (
        SELECT 1 FROM json_each(iif(json_valid(organisations), organisations, '[]')) WHERE value = ?
      ) LIMIT 1
    `);
  }

  /** @throws SbxError `state_newer`, `state_broken` */
  static open(directory: string): TokenStore {
    return new TokenStore(openControlDatabase(directory, TABLES));
  }

  /** The only time that the token itself is there. */
  create(spec: TokenSpec): { token: string; record: TokenRecord } {
    const token = newToken(spec.kind);
    const record = { ...spec, id: `tok_${randomBytes(8).toString("hex")}` };
    const { id, name, kind, organisations, scopes, createdAt, expiresAt } = record;
    this.#database
      .prepare("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
      .run(
        ...[id, name, kind, hashToken(token) ?? ""],
        ...[JSON.stringify(organisations), JSON.stringify(scopes), createdAt, expiresAt],
      );
    return { token, record };
  }

  /** The newest first. */
  list(): TokenRecord[] {
    return this.#database.prepare("SELECT * FROM tokens ORDER BY created_at DESC, id").all().map(parseRow);
  }

  /** By id or name. @throws SbxError `usage` for a name of several, or of none */
  revoke(ref: string): TokenRecord {
    // Only these are read: a damaged record of another one is no reason to leave this one valid.
    const found = this.#database.prepare("SELECT * FROM tokens WHERE id = ? OR name = ? LIMIT 2").all(ref, ref);
    const [row] = found;
    if (row === undefined || found.length > 1) {
      const why = row === undefined ? "there is no token" : "several tokens are called";
      throw new SbxError("usage", `${why} ${JSON.stringify(ref)}`, { hint: "sbx token list" });
    }
    this.#database.prepare("DELETE FROM tokens WHERE id = ?").run(row.id ?? null);
    return parseRow(row);
  }

  /** The record of a token that somebody shows; undefined for one that was never given out, or was revoked. */
  find(token: string): TokenRecord | undefined {
    const hash = hashToken(token);
    const row = hash === undefined ? undefined : this.#byHash.get(hash);
    return row === undefined ? undefined : parseRow(row);
  }

  /** Whether a token that was shown before still holds. */
  holds(id: string, now: number): boolean {
    const row = this.#byId.get(id);
    return row !== undefined && !isOver(parseRow(row), now);
  }

  /** Whether any token names it. Strangers have this asked as often as they like. */
  isForOrganisation(name: string): boolean {
    return this.#byOrganisation.get(name) !== undefined;
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

export function isOver({ expiresAt }: TokenRecord, now: number): boolean {
  return expiresAt !== null && expiresAt <= now;
}

function parseRow(row: Record<string, SQLOutputValue>): TokenRecord {
  try {
    const { id, name, kind, organisations, scopes, created_at, expires_at } = rowSchema.parse(row);
    return {
      ...{ id, name, kind, createdAt: created_at, expiresAt: expires_at },
      organisations: organisationList.parse(JSON.parse(organisations)),
      scopes: scopeList.parse(JSON.parse(scopes)),
    };
  } catch (cause) {
    throw new SbxError("state_broken", `the record of token ${String(row.id)} is damaged`, { cause });
  }
}
