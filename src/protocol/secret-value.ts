/**
 * What can be the value of a secret: something that a header can carry and that can be kept out of responses. The egress
 * path refuses anything else (src/egress/secrets); here it is said when the value is first seen, and without saying it.
 */

/** Shorter ones occur everywhere, `bytes`. */
export const MIN_SECRET_BYTES = 4;
/** Longest value as UTF-8, `bytes`. */
export const MAX_SECRET_BYTES = 16 * 1024;

/** What is wrong with a value, as in "the value of NAME …"; `null` if nothing is. */
export function secretValueFault(value: string): string | null {
  const bytes = Buffer.byteLength(value);
  if (bytes === 0) return "is empty";
  if (bytes < MIN_SECRET_BYTES)
    return `has fewer than ${MIN_SECRET_BYTES} bytes, so it could not be kept out of responses`;
  if (bytes > MAX_SECRET_BYTES) return `is longer than ${MAX_SECRET_BYTES / 1024} KiB`;
  if (/[\u0000-\u001f\u007f]/.test(value))
    return "has a line break or another control character, which no header can carry";
  if (!value.isWellFormed()) return "is not well-formed Unicode";
  return null;
}
