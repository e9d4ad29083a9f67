/** Names of sandboxes and what refers to one. Input comes from the user. */
import { quoteValue, usageError } from "./usage-error.ts";

/** As a label of a host name (RFC 1123): the guest is called so. */
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** A name or an id, or a part of one. */
const REFERENCE = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
const IMAGE = /^[a-z0-9][a-z0-9_.-]{0,127}$/;

/**
 * A name for a new sandbox: up to 63 lower-case letters, digits and dashes, and not the name that one without gets.
 *
 * @throws SbxError `usage`
 */
export function parseSandboxName(text: string): string {
  if (!NAME.test(text) || text.startsWith("sbx-")) {
    throw usageError(
      `${quoteValue(text)} cannot be the name of a sandbox`,
      "use up to 63 lower-case letters, digits and dashes, no dash at an end, and not sbx- at the beginning",
    );
  }
  return text;
}

/**
 * What a user gives to mean a sandbox that exists: an id, a name, or the beginning of either.
 *
 * @throws SbxError `usage` for what can be none of these
 */
export function parseSandboxRef(text: string): string {
  if (!REFERENCE.test(text)) {
    throw usageError(`${quoteValue(text)} is neither the id nor the name of a sandbox`, "sbx list");
  }
  return text;
}

/**
 * A name for an image, or what refers to one: a name, an id, or the beginning of an id.
 *
 * @throws SbxError `usage`
 */
export function parseImageRef(text: string): string {
  if (!IMAGE.test(text)) {
    throw usageError(
      `${quoteValue(text)} cannot be an image`,
      "use lower-case letters, digits, dots, dashes and underscores, a letter or digit first",
    );
  }
  return text;
}
