/** Who asks: a token and, with it, an organisation. The only place that decides for whom a request is. */
import type { IncomingMessage } from "node:http";
import { ApiError } from "../api-error.ts";
import type { Scope } from "./token-format.ts";
import { isOver, type TokenStore } from "./token-store.ts";

export const ORG_HEADER = "x-deno-org";

export interface Caller {
  tokenId: string;
  organisation: string;
  scopes: readonly Scope[];
}

/** @throws ApiError `INVALID_TOKEN`, `TOKEN_EXPIRED`, `MISSING_ORG`, `ORG_FORBIDDEN` */
export function authenticate(
  tokens: TokenStore,
  { headers, headersDistinct }: Pick<IncomingMessage, "headers" | "headersDistinct">,
  now: number,
): Caller {
  // Which of two counts, whoever stands in front of the server may see otherwise.
  if ((headersDistinct.authorization?.length ?? 0) > 1)
    throw new ApiError("INVALID_TOKEN", "the request has two tokens");
  const token = /^Bearer +(\S+)$/i.exec(headers.authorization ?? "")?.[1];
  if (token === undefined) throw new ApiError("INVALID_TOKEN", "the request has no bearer token");
  const record = tokens.find(token);
  if (record === undefined) throw new ApiError("INVALID_TOKEN", "the token is not known");
  if (isOver(record, now)) throw new ApiError("TOKEN_EXPIRED", "the token has expired");
  const named = headers[ORG_HEADER];
  const organisation = typeof named === "string" ? named : soleOf(record.organisations);
  // Of an organisation that does not exist nothing else is said than of one that is somebody else's.
  if (!record.organisations.includes(organisation)) {
    throw new ApiError("ORG_FORBIDDEN", "the token is not for this organisation");
  }
  return { tokenId: record.id, organisation, scopes: record.scopes };
}

/** @throws ApiError `INSUFFICIENT_SCOPE` */
export function requireScope({ scopes }: Caller, scope: Scope): void {
  if (scopes.includes(scope)) return;
  throw new ApiError("INSUFFICIENT_SCOPE", `the token does not have the scope ${scope}`);
}

function soleOf(organisations: readonly string[]): string {
  const [only] = organisations;
  if (only !== undefined && organisations.length === 1) return only;
  throw new ApiError("MISSING_ORG", `the token is for several organisations: name one in ${ORG_HEADER}`);
}
