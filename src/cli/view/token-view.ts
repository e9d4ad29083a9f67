/** Tokens as text and JSON; never the token itself. */
import type { TokenRecord } from "../serve/token-access.ts";
import { humanDuration, humanRest } from "../output/human.ts";
import type { Column } from "../output/table.ts";

export const TOKEN_COLUMNS: readonly Column[] = [
  { title: "ID", minWidth: 20 },
  { title: "NAME", minWidth: 8 },
  { title: "ORGANISATIONS", minWidth: 8 },
  { title: "SCOPES", minWidth: 8 },
  { title: "MADE" },
  { title: "EXPIRES" },
];

export function tokenRow(token: TokenRecord, now: number): string[] {
  const { id, name, organisations, scopes, createdAt, expiresAt } = token;
  const rest = expiresAt === null ? "never" : expiresAt <= now ? "expired" : `in ${humanRest(expiresAt - now)}`;
  return [id, name ?? "-", organisations.join(", "), scopes.join(", "), `${humanDuration(now - createdAt)} ago`, rest];
}

export function tokenJson({ createdAt, expiresAt, ...token }: TokenRecord): Record<string, unknown> {
  return {
    ...token,
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString(),
  };
}
