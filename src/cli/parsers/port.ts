/** Port numbers. Input comes from the user. */
import { quoteValue, usageError } from "./usage-error.ts";

const MAX_PORT = 65_535;

/**
 * Reads a TCP port.
 *
 * @throws SbxError `usage`
 */
export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= MAX_PORT) return port;
  throw usageError(`${quoteValue(text)} is not a port`, `a port is a number from 1 to ${MAX_PORT}`);
}
