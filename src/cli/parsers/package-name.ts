/** Names of Debian packages, as the Debian policy manual has them (section 5.6.7). Input comes from the user. */
import { quoteValue, usageError } from "./usage-error.ts";

const PACKAGE = /^[a-z0-9][a-z0-9+.-]{1,127}$/;

/**
 * Reads the name of a package.
 *
 * @throws SbxError `usage`
 */
export function parsePackageName(text: string): string {
  if (!PACKAGE.test(text)) {
    throw usageError(
      `${quoteValue(text)} cannot be the name of a Debian package`,
      "name packages as apt does, such as sqlite3 or libstdc++6",
    );
  }
  return text;
}
