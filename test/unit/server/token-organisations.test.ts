/** Which organisations there are, as the records of tokens say. */
import assert from "node:assert/strict";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { SCOPES } from "../../../src/server/tokens/token-format.ts";
import { TokenStore } from "../../../src/server/tokens/token-store.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

test("an organisation is there while a token names it, as a whole word, and whatever became of another token's record", (t) => {
  const directory = temporaryDirectory(t);
  using tokens = TokenStore.open(directory);
  const life = { createdAt: 0, expiresAt: null };
  const make = (...organisations: string[]): string =>
    tokens.create({ ...{ name: null, kind: "personal", organisations, scopes: [...SCOPES] }, ...life }).record.id;
  const damaged = make("initech");
  const acme = make("globex", "acme");
  using database = new DatabaseSync(path.join(directory, "control.db"));
  database.prepare("UPDATE tokens SET organisations = '[' WHERE id = ?").run(damaged);
  const found = (): string[] =>
    ["acme", "globex", "initech", "acm", '["acme"]', "", "%"].filter((name) => tokens.isForOrganisation(name));
  assert.deepEqual(found(), ["acme", "globex"]);
  database.prepare("DELETE FROM tokens WHERE id = ?").run(acme);
  assert.deepEqual(found(), []);
});

test("a damaged record of another token keeps nobody from revoking one, and is revoked itself", (t) => {
  const directory = temporaryDirectory(t);
  const tokens = TokenStore.open(directory);
  t.after(() => tokens[Symbol.dispose]());
  const facts = { kind: "organisation" as const, organisations: ["acme"], scopes: ["read" as const] };
  const life = { createdAt: 1, expiresAt: null };
  const { token } = tokens.create({ name: "lent", ...facts, ...life });
  tokens.create({ name: "broken", ...facts, ...life });
  const database = new DatabaseSync(path.join(directory, "control.db"));
  database.exec("UPDATE tokens SET scopes = 'x' WHERE name = 'broken'");
  database.close();
  tokens.revoke("lent");
  assert.equal(tokens.find(token), undefined);
  assert.throws(() => tokens.revoke("lent"), { code: "usage" });
  assert.throws(() => tokens.revoke("broken"));
  assert.deepEqual(tokens.list(), []);
});
