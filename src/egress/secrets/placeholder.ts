/** The name that stands in the guest's environment in place of a value. It is worth nothing outside of its sandbox. */
import { randomBytes } from "node:crypto";

export const PLACEHOLDER_PREFIX = "DENO_SECRET_PLACEHOLDER_";
const RANDOM_BYTES = 32;
/** All of a placeholder is unreserved in a URL, needs no escape in JSON or HTML, and may stand in a header. */
const PLACEHOLDER = /^DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}$/;

export function newPlaceholder(): string {
  return PLACEHOLDER_PREFIX + randomBytes(RANDOM_BYTES).toString("hex");
}

export function isPlaceholder(text: string): boolean {
  return PLACEHOLDER.test(text);
}
