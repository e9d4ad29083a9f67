/**
 * Files of environment variables (`--env-file`): one `NAME=value` a line. Blank lines and lines that begin with `#` are
 * skipped, `export ` before a name too; one pair of matching quotes around a value is taken off; nothing is expanded.
 * `NAME` alone takes the value that it has here. The file is the user's own.
 */
import { SbxError } from "../../runtime/errors.ts";
import { parseEnvPair, type HostEnvironment } from "./env-pair.ts";

/** The largest file that is read, `bytes`. */
export const MAX_ENV_FILE_BYTES = 1024 * 1024;

/**
 * Reads the text of such a file. A later line wins over an earlier one.
 *
 * @param path names the file in errors
 * @throws SbxError `usage`, with path and line
 */
export function parseEnvFile(text: string, path: string, hostEnvironment: HostEnvironment): Record<string, string> {
  const variables: [string, string][] = [];
  for (const [index, raw] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    try {
      const [name, value] = parseEnvPair(line.replace(/^export\s+/, ""), hostEnvironment);
      variables.push([name, unquote(value)]);
    } catch (error) {
      if (!(error instanceof SbxError)) throw error;
      throw new SbxError(
        "usage",
        `${path}:${index + 1}: ${error.message}`,
        error.hint === undefined ? {} : { hint: error.hint },
      );
    }
  }
  return Object.fromEntries(variables);
}

function unquote(value: string): string {
  const quoted = /^(["'])(.*)\1$/s.exec(value);
  return quoted?.[2] ?? value;
}
