/**
 * Tokens: `ddo_` (of one organisation) or `ddp_` (a person's, for several) and 256 random bits. The prefixes are those of
 * the published SDK, which asks for an organisation beside any token that does not begin with `ddo_`.
 */
import { createHash, randomBytes } from "node:crypto";

export const TOKEN_KINDS = ["organisation", "personal"] as const;
export type TokenKind = (typeof TOKEN_KINDS)[number];

/** What a token is good for: reading lists, sandboxes (making, using, ending), volumes and snapshots, apps and deploying. */
export const SCOPES = ["read", "sandboxes", "volumes", "apps"] as const;
export type Scope = (typeof SCOPES)[number];

const SECRET_BYTES = 32;
const FORM = /^dd[op]_[A-Za-z0-9_-]{43}$/;

export function newToken(kind: TokenKind): string {
  return `${kind === "organisation" ? "ddo" : "ddp"}_${randomBytes(SECRET_BYTES).toString("base64url")}`;
}

/** A guess at 256 random bits is as good against a fast hash as against a slow one. Undefined for what is no token. */
export function hashToken(token: string): string | undefined {
  return FORM.test(token) ? createHash("sha256").update(token).digest("hex") : undefined;
}
