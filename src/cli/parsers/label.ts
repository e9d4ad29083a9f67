/** Labels, `key=value`. Input comes from the user. Lengths are those of the published API: 64 and 128 bytes. */
import { quoteValue, usageError } from "./usage-error.ts";

const KEY = /^[A-Za-z0-9][A-Za-z0-9._/-]*$/;
const MAX_KEY_BYTES = 64;
const MAX_VALUE_BYTES = 128;

/**
 * Reads one label.
 *
 * @throws SbxError `usage`
 */
export function parseLabel(text: string): [key: string, value: string] {
  const equals = text.indexOf("=");
  if (equals === -1) {
    throw usageError(`${quoteValue(text)} is not a label`, "write it as key=value");
  }
  const key = text.slice(0, equals);
  const value = text.slice(equals + 1);
  if (!KEY.test(key) || key.length > MAX_KEY_BYTES) {
    throw usageError(
      `${quoteValue(key)} cannot be the key of a label`,
      `use up to ${MAX_KEY_BYTES} letters, digits, dots, dashes, underscores and slashes`,
    );
  }
  if (Buffer.byteLength(value) > MAX_VALUE_BYTES || /\p{Cc}/u.test(value)) {
    throw usageError(`the value of the label ${key} must be at most ${MAX_VALUE_BYTES} bytes of printable text`);
  }
  return [key, value];
}

/**
 * Reads several labels; of two with the same key the later one wins.
 *
 * @throws SbxError `usage`
 */
export function parseLabels(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(texts.map(parseLabel));
}
