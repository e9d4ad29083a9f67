/** What a token is to be: its organisations and scopes. Input comes from the user. */
import { ORGANISATION_NAME, OWN_ORGANISATION } from "../../runtime/organisations.ts";
import { quoteValue, usageError } from "./usage-error.ts";

/** @throws SbxError `usage` */
export function parseOrganisation(text: string): string {
  if (ORGANISATION_NAME.test(text)) return text;
  throw usageError(
    `${quoteValue(text)} cannot be the name of an organisation`,
    "a name has up to 63 lower-case letters, digits and dashes",
  );
}

/** Those that a token is for; the user's own if none was named. @throws SbxError `usage` */
export function organisationsOf(given: readonly string[], isPersonal: boolean): string[] {
  const names = [...new Set(given.length === 0 ? [OWN_ORGANISATION] : given)];
  if (isPersonal || names.length === 1) return names;
  throw usageError("a token is of one organisation", "one for several is a personal one: add --personal");
}

/** @throws SbxError `usage` */
export function parseTokenName(text: string): string {
  if (/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62})$/.test(text) && !text.startsWith("tok_")) return text;
  throw usageError(
    `${quoteValue(text)} cannot be the name of a token`,
    "a name has up to 63 letters, digits, dots, dashes and underscores, and does not begin with tok_",
  );
}
